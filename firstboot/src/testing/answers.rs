//! What a program of the fake server answers, and the small files that it reads and writes.

use super::{Node, State};
use host::Output;
use std::path::Path;

pub(super) fn code(code: i32) -> Output {
    Output { code: Some(code), ..Output::default() }
}

pub(super) fn says(text: &str) -> Output {
    Output { stdout: text.as_bytes().to_vec(), ..code(0) }
}

pub(super) fn put(state: &mut State, path: &str, bytes: &[u8]) {
    let path = Path::new(path);
    state.files(path).insert(path.into(), Node { bytes: bytes.to_vec(), mode: 0o600, ..Node::default() });
}

pub(super) fn get(state: &mut State, path: &str) -> Vec<u8> {
    let path = Path::new(path);
    state.files(path).get(path).map(|n| n.bytes.clone()).unwrap_or_default()
}
