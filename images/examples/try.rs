//! Scratch.
use std::time::Duration;
struct R;
impl images::Report for R {
    fn stage(&self, what: &str) {
        eprintln!("... {what}");
    }
    fn done(&self, what: &str, took: Duration) {
        eprintln!("    {what}: {:.1} s", took.as_secs_f64());
    }
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let cache = std::path::PathBuf::from(&args[1]);
    let start = std::time::Instant::now();
    let arch = if args.get(3).is_some_and(|a| a == "amd64") { images::Arch::Amd64 } else { images::Arch::Arm64 };
    let r: Result<String, images::Error> = match args[2].as_str() {
        "server" => images::server_image(&cache, arch, &R).map(|i| format!("{i:#?}")),
        "postgres" => images::container_image(&cache, &images::POSTGRES, arch, &R).map(|i| format!("{i:#?}")),
        "registry" => (|| {
            let image = images::container_image(&cache, &images::POSTGRES, arch, &R)?;
            let reg = images::registry::Registry::new(cache.join("registry"), 5757);
            reg.publish(&image)?;
            let s = reg.ensure()?;
            Ok(format!("{s:?} {}", reg.reference(&image)))
        })(),
        _ => images::registry::Registry::new(cache.join("registry"), 5757).stop().map(|()| "stopped".into()),
    };
    match r {
        Ok(t) => println!("{t}\n{:.2} s", start.elapsed().as_secs_f64()),
        Err(e) => println!("error: {e}"),
    }
}
