# Run once, while the cluster is made: the database, and a user who owns it and nothing else.
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres <<SQL
CREATE ROLE keycloak LOGIN PASSWORD '<secret keycloak-database-password>';
CREATE DATABASE keycloak OWNER keycloak TEMPLATE template0 ENCODING 'UTF8';
SQL
