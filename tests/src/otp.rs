//! What an authenticator app shows.

use anyhow::{Context as _, Result};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use totp_rs::{Builder, Secret};

/// A code that ends sooner than this may be too old when it arrives.
const STALE: u64 = 3;

/// The code of this moment for a secret as a page shows it, in base32 with or without spaces: SHA-1, six digits, thirty
/// seconds, as all apps have it. Waits where the code is about to change.
pub fn code(secret: &str) -> Result<String> {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("reading the clock")?.as_secs();
        if now % 30 < 30 - STALE {
            return code_at(secret, now);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The code of a moment, in seconds since 1970.
pub fn code_at(secret: &str, time: u64) -> Result<String> {
    let plain: String = secret.split_whitespace().collect::<String>().to_ascii_uppercase();
    let secret = Secret::try_from_base32(plain).context("reading the secret of one-time passwords")?;
    // Services draw secrets of lengths that the standard does not have.
    Ok(Builder::new().with_secret(secret).build_noncompliant().generate(time).to_string())
}
