//! Steps side by side.

use super::Cx;
use anyhow::Result;

/// Runs two lanes at the same time and ends when both have; where processors are few, the main lane is served first. When a
/// step fails in one, the other finishes the step it is at and begins no further one; what failed in either is in the error.
pub(crate) fn in_parallel<A: Send, B: Send>(
    cx: &Cx<'_>,
    main: impl FnOnce(&Cx<'_>) -> Result<A> + Send,
    other: impl FnOnce(&Cx<'_>) -> Result<B> + Send,
) -> Result<(A, B)> {
    let (mut one, mut two) = (None, None);
    let second = cx.second_lane();
    cx.machine().side_by_side(Box::new(|| one = Some(main(cx))), Box::new(|| two = Some(other(&second))));
    // Work that was not done would be a machine that does not do what it is for.
    join(one.unwrap_or_else(halted), two.unwrap_or_else(halted))
}

fn halted<T>() -> Result<T> {
    Err(Halted.into())
}

/// A step was not begun because one of another lane had failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("not begun, since a step beside it failed")]
pub(crate) struct Halted;

/// Both lanes failed.
#[derive(Debug, thiserror::Error)]
#[error("{main:#}; and beside it: {other:#}")]
pub(crate) struct Both {
    /// In the main lane.
    pub(crate) main: anyhow::Error,
    /// In the other.
    pub(crate) other: anyhow::Error,
}

fn join<A, B>(main: Result<A>, other: Result<B>) -> Result<(A, B)> {
    match (main, other) {
        (Ok(main), Ok(other)) => Ok((main, other)),
        (Err(e), Ok(_)) | (Ok(_), Err(e)) => Err(e),
        (Err(main), Err(other)) if other.is::<Halted>() => Err(main),
        (Err(main), Err(other)) if main.is::<Halted>() => Err(other),
        (Err(main), Err(other)) => Err(Both { main, other }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Step, ensure};
    use crate::testing::{Fake, Lanes};
    use spec::{EventKind, StepName};
    use std::sync::Barrier;

    /// Fails as the step of this number, once as many are at theirs as the barrier waits for.
    struct Fails<'b, const N: usize>(Option<&'b Barrier>);

    impl<const N: usize> Step for Fails<'_, N> {
        const NAME: StepName = StepName::ALL[N];
        type Output = ();

        fn check(&self, _: &Cx<'_>) -> Result<Option<()>> {
            self.0.map(Barrier::wait);
            anyhow::bail!("{} broke", Self::NAME)
        }

        fn apply(&self, _: &Cx<'_>) -> Result<()> {
            Ok(())
        }
    }

    fn fake(lanes: Lanes) -> Fake {
        let fake = Fake::new();
        fake.state.borrow_mut().lanes = lanes;
        fake
    }

    #[test]
    fn a_failed_step_lets_no_other_begin_and_names_itself() {
        for lanes in [Lanes::MainFirst, Lanes::MainLast] {
            let fake = fake(lanes);
            let cx = Cx::begin(&fake).unwrap();
            let failed =
                in_parallel(&cx, |cx| ensure(cx, &Fails::<2>(None)), |cx| ensure(cx, &Fails::<3>(None)));
            let first = StepName::ALL[if lanes == Lanes::MainFirst { 2 } else { 3 }];
            assert_eq!(failed.unwrap_err().to_string(), format!("{first} broke"));
            assert_eq!(cx.failures(), [first]);
            let begun = fake.events().into_iter().filter(|e| matches!(e, EventKind::StepStarted { .. }));
            assert_eq!(begun.count(), 1);
        }
    }

    #[test]
    fn what_fails_in_both_lanes_is_said_of_both() {
        let fake = fake(Lanes::AtOnce);
        let cx = Cx::begin(&fake).unwrap();
        let both = Barrier::new(2);
        let failed = in_parallel(
            &cx,
            |cx| ensure(cx, &Fails::<2>(Some(&both))),
            |cx| ensure(cx, &Fails::<3>(Some(&both))),
        );
        let (two, three) = (StepName::ALL[2], StepName::ALL[3]);
        assert_eq!(failed.unwrap_err().to_string(), format!("{two} broke; and beside it: {three} broke"));
        let mut failures = cx.failures();
        failures.sort_unstable();
        assert_eq!(failures, [two, three]);
    }

    #[test]
    fn what_two_lanes_record_and_say_at_once_is_all_there() {
        let fake = fake(Lanes::AtOnce);
        let cx = Cx::begin(&fake).unwrap();
        let starts = cx.receipt().starts;
        let busy = |cx: &Cx<'_>| {
            for _ in 0..50 {
                cx.record(|receipt| receipt.starts += 1)?;
                cx.say("at work")?;
            }
            Ok(())
        };
        in_parallel(&cx, busy, busy).unwrap();
        let written = spec::Receipt::from_json(&fake.get(spec::paths::RECEIPT).unwrap()).unwrap();
        assert_eq!((written.starts, &written), (starts + 100, &*cx.receipt()));
        let events = crate::run::events::parse(&fake.get(spec::paths::EVENTS).unwrap());
        let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..=101).collect::<Vec<_>>());
    }
}
