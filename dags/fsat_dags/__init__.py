"""What the DAG files share. Airflow looks for no DAGs here: `.airflowignore` names the folder."""
