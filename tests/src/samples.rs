//! Containers that need nothing but Debian's packages, for trials of what is around them.

use anyhow::{Context as _, Result};
use images::{Arch, ContainerImage, File, OciLayout};

/// Nobody in particular.
const USER: (u32, u32) = (65534, 65534);
const ENV: &[&str] = &["PATH=/usr/bin"];

/// Busybox and nothing else: `sleep`, `nc`, `httpd`, `sh`.
pub const BUSYBOX: ContainerImage = ContainerImage {
    name: "busybox",
    packages: &["busybox-static"],
    go: None,
    left_out: &[],
    files: &[
        File::Link("usr/bin/sh", "busybox"),
        File::Text("etc/passwd", 0o644, "nobody:x:65534:65534:nobody:/:/bin/sh\n"),
        File::Text("www/index.html", 0o644, "<!doctype html><title>busybox</title><h1>It is served</h1>\n"),
    ],
    applets: &["cat", "echo", "env", "httpd", "nc", "sleep", "true"],
    user: USER,
    env: ENV,
    entrypoint: &[],
    command: &["sleep", "1d"],
    volume: None,
    port: None,
    healthcheck: &["CMD", "true"],
    stop_signal: "SIGKILL",
};

/// Serves [`BUSYBOX`]'s page over TLS at port 8443, with the certificate and key in `/run/secrets/page.pem`.
pub const TLS_PAGE: ContainerImage = ContainerImage {
    name: "tls-page",
    packages: &[
        "base-files",
        "busybox-static",
        "libc6",
        "libssl3t64",
        "libwrap0",
        "libzstd1",
        "socat",
        "zlib1g",
    ],
    go: None,
    left_out: &["usr/lib/x86_64-linux-gnu/gconv/", "usr/lib/aarch64-linux-gnu/gconv/"],
    files: BUSYBOX.files,
    applets: BUSYBOX.applets,
    user: USER,
    env: ENV,
    entrypoint: &["socat"],
    command: &[
        "OPENSSL-LISTEN:8443,pf=ip6,ipv6only=0,fork,reuseaddr,verify=0,cert=/run/secrets/page.pem",
        "EXEC:/usr/bin/httpd -i -h /www",
    ],
    volume: None,
    port: Some("8443/tcp"),
    healthcheck: &["CMD", "true"],
    stop_signal: "SIGTERM",
};

/// An image for this machine's own architecture, from the cache or built.
pub fn native(image: &ContainerImage) -> Result<OciLayout> {
    images::container_image(&crate::cache()?, image, Arch::of_this_machine()?, &images::Silent)
        .with_context(|| format!("building the container image {}", image.name))
}
