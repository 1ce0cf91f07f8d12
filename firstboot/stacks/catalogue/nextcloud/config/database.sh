# Run once, while the cluster is made: the database, and a user who owns it and nothing else.
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres <<SQL
CREATE ROLE nextcloud LOGIN PASSWORD '{{ secret("nextcloud-database-password") }}';
CREATE DATABASE nextcloud OWNER nextcloud TEMPLATE template0 ENCODING 'UTF8';
SQL
