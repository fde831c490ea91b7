//! Devices of a browser.

use std::cell::RefCell;
use std::sync::Arc;

use burn::tensor::wgpu::WgpuInitError;
use burn::tensor::wgpu::wgpu::{self, DeviceType, Features};
use burn::tensor::{DType, Device, Tensor};
use js_sys::{Function, Promise};
use qwen2_5_vl::KvCache;
use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::error::Failure;

/// What computes.
#[derive(Clone)]
pub struct Opened {
    pub device: Device,
    pub about: About,
    gpu: Option<wgpu::Device>,
    /// Settles when the device is lost; None for the CPU, which is never lost.
    pub lost: Option<Promise>,
}

/// What a page may want to know of a device.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    pub backend: &'static str,
    pub adapter: String,
    pub f16: bool,
    pub max_buffer_bytes: f64,
    #[serde(skip)]
    hardware: bool,
}

thread_local! {
    // Burn registers the runtime of an adapter once and for all.
    static GPU: RefCell<Option<Opened>> = const { RefCell::new(None) };
    /// Settles the promise of a lost device.
    static SETTLE: RefCell<Option<Function>> = const { RefCell::new(None) };
    /// The first error that WebGPU reported beside the calls that caused it: code and message.
    static ERROR: RefCell<Option<(&'static str, String)>> = const { RefCell::new(None) };
}

impl Opened {
    /// Opens `webgpu`, `cpu`, or with `auto` a GPU that is no software adapter, else the CPU.
    pub async fn open(name: &str) -> Result<Self, Failure> {
        match name {
            "cpu" => Ok(Self::cpu()),
            "webgpu" => Self::gpu().await,
            "auto" => match Self::gpu().await {
                Ok(gpu) if gpu.about.hardware => Ok(gpu),
                _ => Ok(Self::cpu()),
            },
            other => Err(Failure::request(format!("device {other:?}; use auto, webgpu or cpu"))),
        }
    }

    fn cpu() -> Self {
        let about = About {
            backend: "cpu",
            adapter: "WebAssembly SIMD".into(),
            f16: false,
            max_buffer_bytes: f64::from(i32::MAX),
            hardware: true,
        };
        Self { device: Device::flex(), about, gpu: None, lost: None }
    }

    async fn gpu() -> Result<Self, Failure> {
        if let Some(opened) = GPU.with_borrow(Clone::clone) {
            return Ok(opened);
        }
        let (device, setup) =
            Device::wgpu_options().init_with_setup_async().await.map_err(failure)?;
        let info = setup.adapter.get_info();
        let limits = setup.device.limits();
        let about = About {
            backend: "webgpu",
            adapter: adapter_name(&info),
            f16: setup.device.features().contains(Features::SHADER_F16)
                && device.supports_dtype(DType::F16),
            max_buffer_bytes: limits.max_buffer_size.min(limits.max_storage_buffer_binding_size)
                as f64,
            hardware: info.device_type != DeviceType::Cpu,
        };
        let lost = watch(&setup.device);
        let opened = Self { device, about, gpu: Some(setup.device), lost: Some(lost) };
        GPU.set(Some(opened.clone()));
        Ok(opened)
    }

    /// Fails if the GPU reported an error since the last check: results would be wrong numbers.
    pub fn check(&self) -> Result<(), Failure> {
        match ERROR.take() {
            Some((code, message)) => Err(Failure::new(code, message)),
            None => Ok(()),
        }
    }

    /// Waits until the device has done what it was told.
    pub async fn settle(&self) -> Result<(), Failure> {
        let probe = Tensor::<1>::zeros([1], &self.device);
        let read = probe.into_data_async().await;
        read.map_err(|error| Failure::new("device-lost", format!("{error:?}")))?;
        self.check()
    }

    /// Ends the device as a crash of its driver would.
    pub fn destroy(&self) {
        if let Some(gpu) = &self.gpu {
            gpu.destroy();
        }
    }

    /// [`generation::GenerateOptions::read_step`] of this device.
    pub fn read_step(&self) -> usize {
        if self.gpu.is_some() { KvCache::BLOCK } else { 1 }
    }

    /// The format to compute in for weights kept as `stored`.
    pub fn dtype(&self, stored: &str) -> DType {
        if stored == "f16" && self.about.f16 { DType::F16 } else { DType::F32 }
    }
}

/// Browsers tell some of vendor, architecture and description.
fn adapter_name(info: &wgpu::AdapterInfo) -> String {
    match info.name.trim() {
        "" => "WebGPU".into(),
        name => name.into(),
    }
}

/// A promise of the message with which the device is lost; its other errors are kept for
/// [`Opened::check`].
fn watch(device: &wgpu::Device) -> Promise {
    // The callbacks must be `Send`, which functions of JavaScript are not.
    device.on_uncaptured_error(Arc::new(|error| {
        let failure = match error {
            wgpu::Error::OutOfMemory { .. } => ("out-of-memory", "the GPU is out of memory".into()),
            error => ("panic", error.to_string()),
        };
        ERROR.with_borrow_mut(|first| _ = first.get_or_insert(failure));
    }));
    let lost = Promise::new(&mut |resolve, _| SETTLE.set(Some(resolve)));
    device.set_device_lost_callback(|_reason, message| {
        if let Some(settle) = SETTLE.take() {
            // Settling a promise cannot fail.
            let _ = settle.call1(&JsValue::NULL, &message.into());
        }
    });
    lost
}

fn failure(error: WgpuInitError) -> Failure {
    let message = match error {
        WgpuInitError::AdapterUnavailable { .. } => "this browser offers no WebGPU adapter".into(),
        error => format!("WebGPU could not be opened: {error}"),
    };
    Failure::new("no-adapter", message)
}
