# The database, and a user who owns it and nothing else, with the password that is here. Run while the cluster is made, and
# again before each start of the application: it changes what differs.
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres <<'SQL'
SELECT 'CREATE ROLE keycloak LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keycloak') \gexec
ALTER ROLE keycloak PASSWORD '{{ secret("keycloak-database-password") }}';
SELECT 'CREATE DATABASE keycloak OWNER keycloak TEMPLATE template0 ENCODING ''UTF8'''
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'keycloak') \gexec
SQL
