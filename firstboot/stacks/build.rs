//! Puts the catalogue into the library: of each folder its `stack.toml`, its `compose.yaml` and the files of `config/`.
//! How its images are made from packages stays outside: a server has no use for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("catalogue");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut text = "&[\n".to_owned();
    for stack in sorted(&root)?.into_iter().filter(|stack| stack.join("stack.toml").is_file()) {
        let _ = write!(text, "({:?}, &[", name(&stack));
        let mut files = vec![stack.join("stack.toml"), stack.join("compose.yaml")];
        below(&stack.join("config"), &mut files)?;
        for file in files {
            let inside = file.strip_prefix(&stack).unwrap_or(&file);
            let _ = write!(
                text,
                "({:?}, include_str!({:?})), ",
                inside.display().to_string(),
                file.display().to_string()
            );
        }
        text += "]),\n";
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("catalogue.rs");
    fs::write(out, text + "]\n")
}

fn sorted(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn below(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if dir.is_dir() {
        for path in sorted(dir)? {
            if path.is_dir() { below(&path, files)? } else { files.push(path) }
        }
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
