//! A cloud whose servers are records, with an image for each architecture.

use rehearsal::{Architecture, Config, ImageSource, Machines};
use std::path::Path;

pub(crate) fn config(dir: &Path) -> Config {
    let image = |architecture| ImageSource {
        name: "debian-13".into(),
        description: "Debian 13".into(),
        architecture,
        os_flavor: "debian".into(),
        os_version: Some("13".into()),
        disk: "disk.raw".into(),
        kernel: None,
        initrd: None,
        cmdline: String::new(),
        labels: [("build".to_owned(), "1".to_owned())].into(),
    };
    Config {
        machines: Machines::None,
        images: vec![image(Architecture::X86), image(Architecture::Arm)],
        ..Config::new(dir)
    }
}
