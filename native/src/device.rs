//! `--device`: names of devices and the devices they name.

use std::str::FromStr;

use burn::tensor::{Device, DeviceType};
use qwen2_5_vl::KvCache;

use crate::failure::Failure;

/// A device as the user names it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceChoice {
    kind: Kind,
    index: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Auto,
    Cpu,
    Wgpu,
    Vulkan,
    Metal,
    Cuda,
}

const NAMES: [(&str, Kind); 6] = [
    ("auto", Kind::Auto),
    ("cpu", Kind::Cpu),
    ("wgpu", Kind::Wgpu),
    ("vulkan", Kind::Vulkan),
    ("metal", Kind::Metal),
    ("cuda", Kind::Cuda),
];

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => {
                let index = index.parse().map_err(|_| format!("{index:?} is not a number"))?;
                (name, Some(index))
            }
            None => (text, None),
        };
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some(&(_, kind)) => Ok(Self { kind, index }),
            None => {
                Err("use auto, cpu, wgpu, vulkan, metal or cuda, with :N for one of several".into())
            }
        }
    }
}

/// A device that was found.
pub struct Opened {
    pub device: Device,
    pub backend: &'static str,
    pub name: String,
    /// False for software adapters, which are slower than `cpu`.
    pub hardware: bool,
}

impl Opened {
    fn cpu() -> Self {
        let name = format!("{} CPU", std::env::consts::ARCH);
        Self { device: Device::flex(), backend: "cpu", name, hardware: true }
    }

    /// Keys that attention reads are rounded up to a multiple of this.
    pub fn read_step(&self) -> usize {
        if self.backend == "cpu" { 1 } else { KvCache::BLOCK }
    }
}

/// The GPU backends of this build, best first.
fn backends() -> Vec<(Kind, &'static str, DeviceType)> {
    vec![
        #[cfg(feature = "cuda")]
        (Kind::Cuda, "cuda", DeviceType::Cuda),
        #[cfg(feature = "metal")]
        (Kind::Metal, "metal", DeviceType::Metal),
        #[cfg(feature = "vulkan")]
        (Kind::Vulkan, "vulkan", DeviceType::Vulkan),
        (Kind::Wgpu, "wgpu", DeviceType::Wgpu),
    ]
}

/// Adapters of one backend; a backend whose driver fails to start has none.
fn adapters(backend: &'static str, device_type: DeviceType) -> Vec<Opened> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = std::panic::catch_unwind(|| {
        let devices = Device::enumerate(device_type).into_vec();
        let open = |device: Device| {
            let identity = device.identity()?;
            let hardware = identity.physical.is_some();
            Some(Opened { device, backend, name: identity.name, hardware })
        };
        devices.into_iter().filter_map(open).collect()
    });
    std::panic::set_hook(hook);
    found.unwrap_or_default()
}

/// All devices of this build, the CPU last.
pub fn all() -> Vec<Opened> {
    let mut found: Vec<Opened> = backends()
        .into_iter()
        .flat_map(|(_, backend, device_type)| adapters(backend, device_type))
        .collect();
    found.push(Opened::cpu());
    found
}

impl DeviceChoice {
    /// Finds the device.
    pub fn open(&self) -> Result<Opened, Failure> {
        self.open_for(0)
    }

    /// Finds the device of one of several processes on this machine, which take different ones
    /// where none is named.
    pub fn open_for(&self, process: usize) -> Result<Opened, Failure> {
        let (backend, device_type) = match self.kind {
            Kind::Cpu => return Ok(Opened::cpu()),
            Kind::Auto => {
                let hardware = backends().into_iter().map(|(_, backend, device_type)| {
                    let mut found = adapters(backend, device_type);
                    found.retain(|device| device.hardware);
                    found
                });
                let best = hardware.into_iter().find(|found| !found.is_empty());
                return Ok(best.map_or_else(Opened::cpu, |mut found| {
                    found.swap_remove(process % found.len())
                }));
            }
            kind => match backends().into_iter().find(|(other, ..)| *other == kind) {
                Some((_, backend, device_type)) => (backend, device_type),
                None => {
                    let name = NAMES.iter().find(|(_, other)| *other == kind).map_or("", |n| n.0);
                    return Err(Failure::usage(format!(
                        "this build has no {name}; build with --features {name}, or use --device auto"
                    )));
                }
            },
        };
        let mut found = adapters(backend, device_type);
        let index = self.index.unwrap_or(process % found.len().max(1));
        if index >= found.len() {
            let count = found.len();
            return Err(Failure::usage(format!(
                "{backend}:{index} not found, there are {count}; `cppo devices` lists all"
            )));
        }
        Ok(found.swap_remove(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_read() {
        let cases = [
            ("auto", Some((Kind::Auto, None))),
            ("cuda:2", Some((Kind::Cuda, Some(2)))),
            ("cpu", Some((Kind::Cpu, None))),
            ("tpu", None),
            ("cuda:x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let found = text.parse::<DeviceChoice>().ok().map(|found| (found.kind, found.index));
            assert_eq!(found, expected, "{text}");
        }
    }
}
