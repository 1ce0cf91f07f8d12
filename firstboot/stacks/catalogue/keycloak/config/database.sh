# Run once, while the cluster is made: the database, and a user who owns it and nothing else.
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres <<SQL
CREATE ROLE keycloak LOGIN PASSWORD '$(cat /run/secrets/keycloak-database-password)';
CREATE DATABASE keycloak OWNER keycloak;
SQL
