# Pebble's own configuration and certificate for tests, which the published image has in /test.

go mod download github.com/letsencrypt/pebble/v2
mkdir "$OUT/test"
cp -R "$(go list -m -f '{{.Dir}}' github.com/letsencrypt/pebble/v2)"/test/c* "$OUT/test/"
