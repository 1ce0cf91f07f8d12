//! Documents: those we make are what others expect, those we made once are still read.

use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use provisioner::keys;
use provisioner::node::user_data;
use provisioner::project::Folder;
use spec::{EscrowManifest, Event, NodeSpec, Phase, Receipt, Status};
use std::path::Path;
use tests::can_run;

pub(crate) fn user_data_passes_the_schema() -> Result<()> {
    if !can_run("fast_user_data_passes_cloud_inits_own_schema", &["cloud-init", "ssh-keygen"])? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let folder = Folder::new(dir.path(), "demo");
    let plain = include_str!("../../../projects/plain/project.toml");
    let mut project = provisioner::project::Project::parse("demo", plain)?;
    let (_, public_key) = keys::project_key(&folder)?;
    for (image, stock_image) in [("debian-13", false), ("debian-13", true), ("ubuntu-24.04", true)] {
        project.image = image.into();
        let data = user_data(&project, &public_key, keys::first_contact(&folder)?, stock_image)?;
        ensure!(data.text.len() <= 8192, "{} bytes of user-data", data.text.len());
        let without_socket = data.text.contains("ssh.socket");
        ensure!(without_socket == (image == "ubuntu-24.04"), "{image}: {}", data.text);
        let file = dir.path().join("user-data");
        std::fs::write(&file, &data.text)?;
        let said = Local.run(&Cmd::new("cloud-init").args(["schema", "--config-file"]).path(&file))?;
        ensure!(said.text().contains("Valid"), "{}", said.text());
        ensure!(!said.stderr.to_lowercase().contains("deprecat"), "{}", said.stderr);
    }
    Ok(())
}

pub(crate) fn old_documents_are_read() -> Result<()> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut read = 0;
    for entry in std::fs::read_dir(&fixtures)? {
        let path = entry?.path();
        let bytes = std::fs::read(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = name.split('-').next().unwrap_or_default();
        let outcome = match kind {
            "receipt" => Receipt::from_json(&bytes).map(drop),
            "node" => NodeSpec::from_json(&bytes).map(drop),
            "status" => Status::from_json(&bytes).map(drop),
            "phase" => Phase::from_json(&bytes).map(drop),
            "manifest" => EscrowManifest::from_json(&bytes).map(drop),
            "events" => {
                bytes.split_inclusive(|b| *b == b'\n').try_for_each(|line| Event::from_line(line).map(drop))
            }
            _ => continue,
        };
        outcome.with_context(|| format!("reading the fixture {name}"))?;
        read += 1;
    }
    ensure!(read >= 10, "only {read} fixtures were found");
    Ok(())
}
