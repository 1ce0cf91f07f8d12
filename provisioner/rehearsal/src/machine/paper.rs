use super::{Disk, Forward, Hypervisor, Machine};
use crate::cloud::state::Failure;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Machines that exist on paper: they do at once what they are told.
#[derive(Default)]
pub(crate) struct Paper {
    /// A machine that was never stopped runs, so that a new daemon finds the old one's machines running.
    stopped: Mutex<BTreeSet<u64>>,
}

impl Paper {
    fn set(&self, server: u64, runs: bool) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if runs { stopped.remove(&server) } else { stopped.insert(server) };
    }
}

impl Hypervisor for Paper {
    fn make_root(&self, _: u64, _: &Path, _: u64) -> Result<(), Failure> {
        Ok(())
    }

    fn has_root(&self, _: u64) -> bool {
        true
    }

    fn start(&self, machine: &Machine) -> Result<(), Failure> {
        self.set(machine.server, true);
        Ok(())
    }

    fn runs(&self, server: u64) -> bool {
        !self.stopped.lock().unwrap_or_else(PoisonError::into_inner).contains(&server)
    }

    fn cut_power(&self, server: u64) -> Result<(), Failure> {
        self.set(server, false);
        Ok(())
    }

    fn reset(&self, _: u64) -> Result<(), Failure> {
        Ok(())
    }

    fn press_power(&self, server: u64) -> Result<(), Failure> {
        self.set(server, false);
        Ok(())
    }

    fn attach(&self, _: u64, _: &Disk) -> Result<(), Failure> {
        Ok(())
    }

    fn detach(&self, _: u64, _: u64) -> Result<(), Failure> {
        Ok(())
    }

    fn open_port(&self, _: u64, _: Ipv4Addr, _: Forward) -> Result<(), Failure> {
        Ok(())
    }

    fn close_port(&self, _: u64, _: Ipv4Addr, _: Forward) -> Result<(), Failure> {
        Ok(())
    }

    fn remove(&self, server: u64) -> Result<(), Failure> {
        self.set(server, false);
        Ok(())
    }

    fn size_volume(&self, _: u64, _: u64, _: Option<u64>) -> Result<(), Failure> {
        Ok(())
    }

    fn remove_volume(&self, _: u64) -> Result<(), Failure> {
        Ok(())
    }
}
