use crate::Error;

/// The architecture of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit ARM, what a server is by default.
    #[default]
    Arm64,
    /// 64-bit x86.
    Amd64,
}

impl std::str::FromStr for Arch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Arm64, Self::Amd64];
        all.into_iter().find(|arch| arch.machine() == text).ok_or_else(|| {
            format!("there are no servers of '{text}', only of {}", all.map(Self::machine).join(" and "))
        })
    }
}

impl Arch {
    /// The architecture of the machine this runs on.
    pub fn of_this_machine() -> Result<Self, Error> {
        match std::env::consts::ARCH {
            "aarch64" => Ok(Self::Arm64),
            "x86_64" => Ok(Self::Amd64),
            other => Err(Error::Refused {
                doing: "choosing the build's tools".into(),
                why: format!("this machine is {other}"),
                help: "build on x86_64 or aarch64".into(),
            }),
        }
    }

    /// The name that Rust, the kernel and QEMU use.
    pub fn machine(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64",
            Self::Amd64 => "x86_64",
        }
    }

    /// Debian's name, which is also OCI's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Amd64 => "amd64",
        }
    }

    /// Debian's kernel for cloud machines.
    pub(crate) fn kernel_package(self) -> &'static str {
        match self {
            Self::Arm64 => "linux-image-cloud-arm64",
            Self::Amd64 => "linux-image-cloud-amd64",
        }
    }

    /// The serial console of QEMU's machine.
    pub(crate) fn console(self) -> &'static str {
        match self {
            Self::Arm64 => "ttyAMA0",
            Self::Amd64 => "ttyS0",
        }
    }

    /// The directory of its libraries under `usr/lib`.
    pub(crate) fn library_directory(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-linux-gnu",
            Self::Amd64 => "x86_64-linux-gnu",
        }
    }

    /// The dynamic loader, relative to a root.
    pub(crate) fn loader(self) -> &'static str {
        match self {
            Self::Arm64 => "usr/lib/ld-linux-aarch64.so.1",
            Self::Amd64 => "usr/lib64/ld-linux-x86-64.so.2",
        }
    }

    /// `e_machine` in an ELF header.
    pub(crate) fn elf_machine(self) -> u16 {
        match self {
            Self::Arm64 => 183,
            Self::Amd64 => 62,
        }
    }

    /// Runs programs of this architecture on another one.
    pub(crate) fn emulator(self) -> &'static str {
        match self {
            Self::Arm64 => "qemu-aarch64-static",
            Self::Amd64 => "qemu-x86_64-static",
        }
    }
}
