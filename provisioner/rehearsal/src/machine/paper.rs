use super::{Boot, Disk, Failure, Forward, Hypervisor, Machine, Template};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Machines that exist on paper: they do at once what they are told.
pub(crate) struct Paper {
    running: Mutex<BTreeSet<u64>>,
}

impl Paper {
    /// Begins with these machines running, as a new daemon finds those of the old one.
    pub(crate) fn new(running: BTreeSet<u64>) -> Self {
        Self { running: Mutex::new(running) }
    }

    fn set(&self, server: u64, runs: bool) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if runs {
            running.insert(server);
        } else {
            running.remove(&server);
        }
    }
}

impl Hypervisor for Paper {
    fn make_root(&self, _: u64, _: &Template) -> Result<(), Failure> {
        Ok(())
    }

    fn grow_root(&self, _: u64, _: u64) -> Result<(), Failure> {
        Ok(())
    }

    fn copy_root(&self, _: u64, _: &Path, _: Option<(&Boot, &Boot)>) -> Result<(), Failure> {
        Ok(())
    }

    fn has_root(&self, _: u64) -> bool {
        true
    }

    fn start(&self, machine: &Machine) -> Result<(), Failure> {
        self.set(machine.server, true);
        Ok(())
    }

    fn suspend(&self, server: u64) -> Result<(), Failure> {
        self.set(server, false);
        Ok(())
    }

    fn runs(&self, server: u64) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).contains(&server)
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

    fn plug_tap(&self, _: u64, _: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn unplug_tap(&self, _: u64) -> Result<(), Failure> {
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
