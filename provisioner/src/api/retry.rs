//! Which answers are tried again. One table, bounded in count and time.
//!
//! | answer | tried again |
//! | --- | --- |
//! | `conflict`, `locked`, `rate_limit_exceeded` | yes |
//! | 502, 504, `bad_gateway`, `timeout`, no answer | reads yes; what changes something is looked up first by the caller |
//! | `maintenance`, `unavailable`, `server_error` | reads yes |
//! | everything else | no |

use super::Error;
use std::time::Duration;

/// How often one request is sent at the most.
pub const ATTEMPTS: u32 = 6;
/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(20);

/// Whether a request changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Only looks.
    Read,
    /// Asked twice, it is done once: PUT, DELETE, power on.
    Idempotent,
    /// Asked twice, it may be done twice: the creation of something.
    Create,
}

/// How long to wait before sending it again, or `None` when that is no use.
/// `attempt` counts from 1, the attempt that just failed.
pub fn pause(error: &Error, effect: Effect, attempt: u32) -> Option<Duration> {
    if attempt >= ATTEMPTS {
        return None;
    }
    let again = match error {
        Error::NoAnswer { .. } => effect != Effect::Create,
        Error::Refused { status, code, .. } => match code.as_str() {
            // Refused before anything was done, whatever was asked.
            "conflict" | "locked" | "rate_limit_exceeded" => true,
            "bad_gateway" | "timeout" | "maintenance" | "unavailable" | "server_error" => {
                effect != Effect::Create
            }
            "http" => matches!(status, 502..=504) && effect != Effect::Create,
            _ => false,
        },
        Error::ActionFailed { .. } | Error::ActionTimeout { .. } => false,
    };
    again.then(|| Duration::from_secs(1 << (attempt - 1)).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Error {
        let (doing, message) = ("testing".into(), String::new());
        Error::Refused {
            doing,
            status,
            code: code.into(),
            message,
            details: Box::default(),
            correlation_id: None,
        }
    }

    #[test]
    fn the_table_holds() {
        let lost = || Error::NoAnswer { doing: "testing".into(), why: "cut".into(), endpoint: "e".into() };
        let rows: [(Error, [bool; 3]); 12] = [
            (refused(409, "conflict"), [true, true, true]),
            (refused(423, "locked"), [true, true, true]),
            (refused(429, "rate_limit_exceeded"), [true, true, true]),
            (refused(502, "http"), [true, true, false]),
            (refused(504, "timeout"), [true, true, false]),
            (refused(503, "unavailable"), [true, true, false]),
            (lost(), [true, true, false]),
            (refused(409, "uniqueness_error"), [false, false, false]),
            (refused(412, "resource_unavailable"), [false, false, false]),
            (refused(423, "protected"), [false, false, false]),
            (refused(403, "resource_limit_exceeded"), [false, false, false]),
            (refused(422, "invalid_input"), [false, false, false]),
        ];
        for (error, expected) in rows {
            let found =
                [Effect::Read, Effect::Idempotent, Effect::Create].map(|e| pause(&error, e, 1).is_some());
            assert_eq!(found, expected, "{error}");
        }
    }

    #[test]
    fn it_is_bounded_in_count_and_time() {
        let pauses: Vec<_> =
            (1..20).map_while(|n| pause(&refused(409, "conflict"), Effect::Read, n)).collect();
        assert_eq!(pauses.len() as u32, ATTEMPTS - 1);
        assert!(pauses.iter().sum::<Duration>() <= Duration::from_secs(60));
    }
}
