//! The fake server as steps see it: its programs, files and clock.

use super::{Cut, Fake, Lanes, Node, dark, engine, programs};
use crate::machine::{Kind, Machine, Stat, Work};
use host::{Cmd, Error, Host, Output};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

impl Host for Fake {
    fn probe(&self, cmd: &Cmd) -> Result<Output, Error> {
        let cut = self.act()?;
        let mut state = self.state.borrow_mut();
        if ["cryptsetup", "mkfs.ext4"].contains(&&*cmd.program()) {
            let act = state.acts;
            state.halves.insert(act);
        }
        state.lines.push(cmd.line());
        let output = programs::run(&mut state, cmd, cut == Some(Cut::Torn));
        if cut.is_some() { Err(dark()) } else { Ok(output) }
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        if self.state.borrow().dead {
            return Err(dark());
        }
        if path == Path::new("/proc/self/mountinfo") {
            let mounted = self.state.borrow().mounted;
            let line = "31 21 254:0 / /srv/sovereign rw - ext4 /dev/mapper/sovereign rw\n";
            return Ok(Some(if mounted { line.into() } else { vec![] }));
        }
        if path == Path::new("/sys/class/block/dm-0/size") {
            return Ok(Some(format!("{}\n", self.state.borrow().mapped / 512).into()));
        }
        if path == Path::new("/sys/class/block/dm-0/dm/uuid") {
            return Ok(Some(format!("CRYPT-LUKS2-{}-sovereign\n", self.luks().uuid.replace('-', "")).into()));
        }
        Ok(self.get(path))
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        let node = Node { bytes: content.to_vec(), mode, ..Node::default() };
        self.change(path, |files| drop(files.insert(path.into(), node)))
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.change(path, |files| drop(files.remove(path)))
    }
}

impl Machine for Fake {
    fn firstboot(&self) -> Result<String, Error> {
        Ok(self.state.borrow().firstboot.into())
    }

    fn has_program(&self, name: &str) -> bool {
        !self.state.borrow().lacking.contains(name) || self.get(format!("/usr/local/bin/{name}")).is_some()
    }

    fn stat(&self, path: &Path) -> Result<Option<Stat>, Error> {
        let mut state = self.state.borrow_mut();
        if state.dead {
            return Err(dark());
        }
        if path == Path::new("/dev/mapper/sovereign") {
            let node = Stat { kind: Kind::Block, mode: 0o600, uid: 0, gid: 0, len: 0 };
            return Ok(state.open.then_some(node));
        }
        let files = state.files(path);
        let Some(node) = files.get(path) else { return Ok(None) };
        let kind = if node.dir { Kind::Directory } else { Kind::File };
        Ok(Some(Stat { kind, mode: node.mode, uid: node.uid, gid: node.uid, len: node.bytes.len() as u64 }))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, Error> {
        if dir == Path::new("/sys/class/block/dm-0/slaves") {
            return Ok(vec!["sda".into()]);
        }
        let mut state = self.state.borrow_mut();
        let inside = state.files(dir).keys().filter(|p| p.parent() == Some(dir));
        Ok(inside.map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn resolve(&self, path: &Path) -> Result<Option<PathBuf>, Error> {
        let state = self.state.borrow();
        Ok(match path.to_str().unwrap() {
            "/dev/disk/by-id/scsi-0HC_Volume_7" => Some("/dev/sda".into()),
            "/dev/mapper/sovereign" if state.open => Some("/dev/dm-0".into()),
            _ => None,
        })
    }

    fn free(&self, _: &Path) -> Result<u64, Error> {
        Ok(self.state.borrow().free)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        if path == Path::new("/dev/mapper/sovereign") {
            assert_eq!((offset, len), (1024, 1024));
            return Ok(self.luks().superblock());
        }
        if path != Path::new("/dev/sda") {
            let mut bytes = self.get(path).unwrap_or_default();
            bytes.drain(..usize::try_from(offset).unwrap());
            bytes.truncate(len);
            return Ok(bytes);
        }
        let state = self.state.borrow();
        if state.unreadable.is_some_and(|at| (offset..offset + len as u64).contains(&at)) {
            return Err(Error::io("reading", path, std::io::Error::from_raw_os_error(5)));
        }
        Ok(state.volume.read(offset, len))
    }

    fn make_dir(&self, dir: &Path, mode: u32, uid: u32, _: u32) -> Result<(), Error> {
        let node = Node { mode, uid, dir: true, ..Node::default() };
        self.change(dir, |files| drop(files.insert(dir.into(), node)))
    }

    fn chown(&self, path: &Path, uid: u32, _: u32) -> Result<(), Error> {
        self.change(path, |files| files.get_mut(path).unwrap().uid = uid)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.has_half_way();
        let torn = {
            let state = self.state.borrow();
            state.cut.is_some_and(|(at, cut)| at == state.acts + 1 && cut == Cut::Torn)
        };
        let bytes = if torn { &bytes[..bytes.len() / 2] } else { bytes };
        let result =
            self.change(path, |files| files.entry(path.into()).or_default().bytes.extend_from_slice(bytes));
        if result.is_ok() && path == Path::new("/sys/class/block/sda/device/rescan") {
            let sectors = self.state.borrow().size / 512;
            self.put("/sys/class/block/sda/size", format!("{sectors}\n").as_bytes());
        }
        if torn {
            self.state
                .borrow_mut()
                .files(path)
                .entry(path.into())
                .or_default()
                .bytes
                .extend_from_slice(bytes);
        }
        result
    }

    fn sync(&self, _: &Path) -> Result<(), Error> {
        Ok(())
    }

    fn sync_all(&self) {
        self.state.borrow_mut().unsaved.clear();
    }

    fn shred(&self, path: &Path) -> Result<(), Error> {
        let torn = |node: &mut Node| node.bytes.fill(0);
        self.has_half_way();
        match self.act()? {
            Some(Cut::Torn) => {
                self.state.borrow_mut().files(path).entry(path.into()).and_modify(torn);
                Err(dark())
            }
            cut => {
                self.state.borrow_mut().files(path).remove(path);
                cut.map_or(Ok(()), |_| Err(dark()))
            }
        }
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let mut state = self.state.borrow_mut();
        for byte in buffer {
            state.drawn =
                state.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state.drawn >> 56) as u8;
        }
        Ok(())
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.state.borrow().clock
    }

    fn ticks(&self) -> Duration {
        self.state.borrow().clock
    }

    fn sleep(&self, time: Duration) {
        self.state.borrow_mut().clock += time;
        programs::fire_timers(&mut self.state.borrow_mut());
        let operator = self.state.borrow().operator;
        if operator {
            self.answer_gates();
        }
    }

    fn side_by_side(&self, one: Work<'_>, other: Work<'_>) {
        let lanes = self.state.borrow().lanes;
        match lanes {
            Lanes::MainFirst => [one, other].into_iter().for_each(|work| work()),
            Lanes::MainLast => [other, one].into_iter().for_each(|work| work()),
            Lanes::AtOnce => std::thread::scope(|scope| {
                scope.spawn(other);
                one();
            }),
        }
    }

    fn ask(&self, _: &Path, path: &str) -> Result<Option<(u16, Vec<u8>)>, Error> {
        Ok(engine::answer(&self.state.borrow(), path))
    }
}
