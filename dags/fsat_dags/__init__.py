"""Modules that the DAG files share. Airflow looks for no DAGs here, because `.airflowignore` names the folder."""
