# Unpacks Keycloak and fixes what is chosen when it is built, not when it starts.
#
# Not the same bytes twice: Quarkus numbers what it generates in the order in which its threads come by. What was made first
# is kept, and is every architecture's.

unzip -q "$DOWNLOADS/keycloak.zip"
mkdir "$OUT/opt"
mv keycloak-* "$OUT/opt/keycloak"
rm "$OUT"/opt/keycloak/bin/*.bat
"$OUT/opt/keycloak/bin/kc.sh" build --db=postgres --health-enabled=true
