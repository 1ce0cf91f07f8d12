//! The table in `docs/errors.md` is the policy's own.

use provisioner::api::policy::{BARE, Row, TABLE};

const DOCUMENT: &str = include_str!("../../docs/errors.md");

fn line(row: &Row) -> String {
    let code = if row.code == BARE { "none".to_owned() } else { format!("`{}`", row.code) };
    let status = row.status.map_or_else(|| "–".to_owned(), |status| status.to_string());
    let capital = |text: &str| {
        let mut chars = text.chars();
        chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
    };
    let columns = [code, status, capital(row.means), capital(&row.step.does()), capital(row.remedy)];
    format!("| {} |", columns.join(" | "))
}

#[test]
fn every_code_is_documented_as_it_is_handled_and_no_other() {
    let expected: Vec<_> = TABLE.iter().map(line).collect();
    let documented: Vec<_> =
        DOCUMENT.lines().filter(|line| line.starts_with("| `") || line.starts_with("| none |")).collect();
    assert_eq!(documented, expected, "the table in docs/errors.md has to be:\n{}\n", expected.join("\n"));
}
