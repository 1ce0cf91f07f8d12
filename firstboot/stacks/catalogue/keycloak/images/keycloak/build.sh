# Unpacks Keycloak and fixes what is chosen when it is built, not when it starts.

unzip -q "$DOWNLOADS/keycloak.zip"
mkdir "$OUT/opt"
mv keycloak-* "$OUT/opt/keycloak"
rm "$OUT"/opt/keycloak/bin/*.bat
"$OUT/opt/keycloak/bin/kc.sh" build --db=postgres --health-enabled=true

# The same bytes from the same inputs: an archive tells when it was made, and the properties say it in their first line.
cd "$OUT/opt/keycloak/lib/quarkus"
for jar in *-bytecode.jar; do
    mkdir unpacked
    unzip -q "$jar" -d unpacked
    rm "$jar"
    find unpacked -exec touch -h -d '1980-01-01 00:00:00' {} +
    (cd unpacked && find . -type f | LC_ALL=C sort | TZ=UTC zip -q -X "../$jar" -@)
    rm -r unpacked
done
sed -i '/^#/d' build-system.properties
