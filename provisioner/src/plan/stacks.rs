//! What the server will do about its stacks.

use spec::{Receipt, StackSpec};

/// The stacks that the project no longer enables and that ran when the receipt on file was written.
pub(crate) fn taken_out(enabled: &[StackSpec], filed: Option<&Receipt>) -> Vec<String> {
    let ran = filed.into_iter().flat_map(|receipt| &receipt.stacks);
    let out = ran.filter(|stack| enabled.iter().all(|wanted| wanted.name != **stack));
    out.map(|stack| format!("stack {stack}: stopped, its data kept")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    fn named(name: &str) -> StackSpec {
        StackSpec { name: name.into(), ..StackSpec::default() }
    }

    #[test]
    fn a_stack_that_ran_and_is_not_enabled_is_a_change_that_is_shown_and_asked_about() {
        let mut receipt = Receipt::new("demo", 1);
        receipt.stacks = vec!["postgres".into(), "headscale".into()];
        let on_server = taken_out(&[named("headscale")], Some(&receipt));
        assert_eq!(on_server, ["stack postgres: stopped, its data kept"]);
        let plan = Plan { on_server, ..Plan::default() };
        let shown = plan.to_string();
        assert!(!plan.is_empty() && shown.contains("~ stack postgres: stopped, its data kept"), "{shown}");
        assert!(!shown.contains("No changes") && !shown.contains("sum"), "{shown}");
        for (enabled, filed) in
            [(vec![named("postgres"), named("headscale")], Some(&receipt)), (vec![], None)]
        {
            assert!(taken_out(&enabled, filed).is_empty());
        }
    }
}
