# The database, and a user who owns it and nothing else, with the password that is here. Run while the cluster is made, and
# again before each start of the application: it changes what differs.
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres <<'SQL'
SELECT 'CREATE ROLE nextcloud LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nextcloud') \gexec
ALTER ROLE nextcloud PASSWORD '{{ secret("nextcloud-database-password") }}';
SELECT 'CREATE DATABASE nextcloud OWNER nextcloud TEMPLATE template0 ENCODING ''UTF8'''
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'nextcloud') \gexec
SQL
