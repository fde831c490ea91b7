//! `cppo devices`

mod plan;

use burn::tensor::DType;
use clap::Args;
use serde_json::json;

use self::plan::Plans;
use crate::args::supports;
use crate::device;
use crate::failure::Failure;

const FORMATS: [(&str, DType); 3] =
    [("f32", DType::F32), ("f16", DType::F16), ("bf16", DType::BF16)];

#[derive(Args)]
pub struct Devices {
    /// Print one JSON object per device, or of all plans
    #[arg(long)]
    json: bool,
    /// Instead, the memory that training a model on a GPU takes in several ways: a folder or a hub
    /// id
    #[arg(long, value_name = "MODEL")]
    plan: Option<String>,
    /// Memory of the device in GB, to say what fits
    #[arg(long, requires = "plan", value_name = "GB")]
    memory: Option<f64>,
    /// Changes to the paper's recipe, such as rollout.max_response_tokens=1024
    #[arg(requires = "plan", value_name = "key.path=value")]
    changes: Vec<String>,
}

impl Devices {
    pub fn run(&self) -> Result<(), Failure> {
        if let Some(model) = &self.plan {
            let plans = Plans::new(model, &self.changes)?;
            match self.json {
                true => println!("{}", plans.to_json()),
                false => print!("{}", plans.table(self.memory.map(|gb| (gb * 1e9) as u64))),
            }
            return Ok(());
        }
        let mut counts = std::collections::BTreeMap::new();
        for found in device::all() {
            let index = counts.entry(found.backend).or_insert(0usize);
            let id = match found.backend {
                "cpu" => "cpu".to_string(),
                backend => format!("{backend}:{index}"),
            };
            *index += 1;
            let dtypes: Vec<&str> = FORMATS
                .iter()
                .filter(|(_, dtype)| supports(&found.device, *dtype))
                .map(|(name, _)| *name)
                .collect();
            let memory = (found.backend == "cpu").then(system_memory).flatten();
            if self.json {
                println!(
                    "{}",
                    json!({
                        "id": id, "backend": found.backend, "name": found.name,
                        "hardware": found.hardware, "dtypes": dtypes, "memory_bytes": memory,
                    })
                );
                continue;
            }
            let memory =
                memory.map_or(String::new(), |bytes| format!("  {} GB", bytes / 1_000_000_000));
            let software = if found.hardware { "" } else { "  (software, slower than cpu)" };
            println!("{id:<10} {}  {}{memory}{software}", found.name, dtypes.join(" "));
        }
        Ok(())
    }
}

/// Main memory in bytes, where the system tells.
fn system_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}
