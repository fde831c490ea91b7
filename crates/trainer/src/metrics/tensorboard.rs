//! TensorBoard event files: TFRecord frames of `Event` messages
//! (tensorflow/core: lib/io/record_writer.cc, util/event.proto, framework/summary.proto).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::Metrics;

/// Writes scalars to one event file.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
}

impl EventWriter {
    /// Creates a new event file in `folder` for steps from `first_step` on.
    ///
    /// TensorBoard reads a folder's files in the order of their names, so `wall_time` (seconds
    /// since 1970) must not run backwards between runs. It discards what earlier files say of
    /// `first_step` and later steps, which a resumed run says again.
    ///
    /// # Errors
    ///
    /// When the folder or the file cannot be written.
    pub fn create(folder: &Path, wall_time: f64, first_step: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut file = unused(folder, wall_time)?;
        let version = event(wall_time, 0, &bytes_field(3, b"brain.Event:2"));
        // SessionLog { status: START }
        let start = event(wall_time, first_step, &bytes_field(7, &varint_field(1, 1)));
        file.write_all(&[frame(&version), frame(&start)].concat())?;
        Ok(Self { file })
    }

    /// Writes the metrics of a step at once.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&mut self, step: u64, wall_time: f64, metrics: &Metrics) -> io::Result<()> {
        let values = metrics.iter().flat_map(|(name, value)| {
            let value = [bytes_field(1, name.as_bytes()), float_field(2, value as f32)].concat();
            bytes_field(1, &value)
        });
        let summary: Vec<u8> = values.collect();
        self.file.write_all(&frame(&event(wall_time, step, &bytes_field(5, &summary))))
    }
}

/// A new file; names order by time, then by number.
fn unused(folder: &Path, wall_time: f64) -> io::Result<File> {
    let mut number = 0u32;
    loop {
        let name = format!("events.out.tfevents.{:010}.cppo.{number:04}", wall_time as u64);
        match OpenOptions::new().append(true).create_new(true).open(folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            file => return file,
        }
    }
}

/// Length, its checksum, the data, its checksum; little endian.
fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let checksums = [masked_crc(&length).to_le_bytes(), masked_crc(data).to_le_bytes()];
    [&length[..], &checksums[0], data, &checksums[1]].concat()
}

/// TensorFlow's mask, for data that holds checksums itself.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Event { double wall_time = 1; int64 step = 2; … }
fn event(wall_time: f64, step: u64, what: &[u8]) -> Vec<u8> {
    let mut bytes = tag(1, Wire::Fixed64);
    bytes.extend(wall_time.to_le_bytes());
    bytes.extend(varint_field(2, step));
    bytes.extend(what);
    bytes
}

/// Protobuf's wire types.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

fn tag(field: u64, wire: Wire) -> Vec<u8> {
    varint(field << 3 | wire as u64)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn varint_field(field: u64, value: u64) -> Vec<u8> {
    [tag(field, Wire::Varint), varint(value)].concat()
}

fn float_field(field: u64, value: f32) -> Vec<u8> {
    [&tag(field, Wire::Fixed32)[..], &value.to_le_bytes()].concat()
}

fn bytes_field(field: u64, bytes: &[u8]) -> Vec<u8> {
    [&tag(field, Wire::Bytes)[..], &varint(bytes.len() as u64), bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32C bit by bit, to check the file without the code that wrote it.
    fn crc(data: &[u8]) -> u32 {
        !data.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
        })
    }

    fn unmasked(bytes: &[u8]) -> u32 {
        let masked = u32::from_le_bytes(bytes.try_into().unwrap());
        masked.wrapping_sub(0xa282_ead8).rotate_left(15)
    }

    /// The data of all frames, their checksums checked.
    fn frames(mut file: &[u8]) -> Vec<&[u8]> {
        let mut frames = Vec::new();
        while !file.is_empty() {
            let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
            assert_eq!(unmasked(&file[8..12]), crc(&file[..8]));
            let data = &file[12..12 + length];
            assert_eq!(unmasked(&file[12 + length..16 + length]), crc(data));
            frames.push(data);
            file = &file[16 + length..];
        }
        frames
    }

    #[derive(Debug, PartialEq)]
    enum Field {
        Varint(u64),
        Fixed64(f64),
        Bytes(Vec<u8>),
        Fixed32(f32),
    }

    fn read_varint(data: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = data[0];
            *data = &data[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }

    fn fields(mut data: &[u8]) -> Vec<(u64, Field)> {
        let mut fields = Vec::new();
        while !data.is_empty() {
            let tag = read_varint(&mut data);
            let size = match tag & 7 {
                0 => {
                    fields.push((tag >> 3, Field::Varint(read_varint(&mut data))));
                    continue;
                }
                1 => 8,
                2 => read_varint(&mut data) as usize,
                5 => 4,
                other => panic!("wire type {other}"),
            };
            let (bytes, rest) = data.split_at(size);
            let field = match tag & 7 {
                1 => Field::Fixed64(f64::from_le_bytes(bytes.try_into().unwrap())),
                2 => Field::Bytes(bytes.to_vec()),
                _ => Field::Fixed32(f32::from_le_bytes(bytes.try_into().unwrap())),
            };
            fields.push((tag >> 3, field));
            data = rest;
        }
        fields
    }

    #[test]
    fn checksums_equal_the_published_ones() {
        // RFC 3720, B.4; "123456789" is the catalogue's check value.
        let ascending: Vec<u8> = (0..32).collect();
        let cases: [(&[u8], u32); 4] = [
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ];
        for (data, expected) in cases {
            assert_eq!((crc(data), crc32c::crc32c(data)), (expected, expected), "{data:?}");
        }
        assert_eq!(unmasked(&masked_crc(b"123456789").to_le_bytes()), 0xe306_9283);
    }

    #[test]
    fn a_file_decodes_to_the_version_the_start_and_the_scalars() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let mut writer = EventWriter::create(&runs, 1.7e9, 300).unwrap();
        let metrics = Metrics::from_iter([("actor/pg_loss", 0.25), ("critic/score/mean", -1e9)]);
        writer.write(300, 1.7e9 + 0.5, &metrics).unwrap();
        writer.write(u64::from(u32::MAX), 1.7e9 + 1.0, &Metrics::default()).unwrap();

        let file = fs::read(runs.join("events.out.tfevents.1700000000.cppo.0000")).unwrap();
        let scalar = |name: &str, value: f32| {
            let mut bytes = vec![0x0a, name.len() as u8];
            bytes.extend(name.as_bytes());
            bytes.push(0x15);
            bytes.extend(value.to_le_bytes());
            (1, Field::Bytes(bytes))
        };
        let events: Vec<_> = frames(&file).into_iter().map(fields).collect();
        assert_eq!(events.len(), 4);
        let version = (3, Field::Bytes(b"brain.Event:2".to_vec()));
        assert_eq!(events[0], [(1, Field::Fixed64(1.7e9)), (2, Field::Varint(0)), version]);
        let start = (7, Field::Bytes(vec![0x08, 0x01]));
        assert_eq!(events[1], [(1, Field::Fixed64(1.7e9)), (2, Field::Varint(300)), start]);
        let [time, step, (5, Field::Bytes(summary))] = &events[2][..] else { panic!("{events:?}") };
        assert_eq!(*time, (1, Field::Fixed64(1.7e9 + 0.5)));
        assert_eq!(*step, (2, Field::Varint(300)));
        let scalars = [scalar("actor/pg_loss", 0.25), scalar("critic/score/mean", -1e9)];
        assert_eq!(fields(summary), scalars);
        assert_eq!(events[3][1], (2, Field::Varint(u64::from(u32::MAX))));
    }

    #[test]
    fn files_of_the_same_second_do_not_overwrite_each_other() {
        let folder = tempfile::tempdir().unwrap();
        for wall_time in [5.0, 5.5, f64::NAN, -1.0] {
            EventWriter::create(folder.path(), wall_time, 0).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected = [
            "0000000000.cppo.0000",
            "0000000000.cppo.0001",
            "0000000005.cppo.0000",
            "0000000005.cppo.0001",
        ];
        assert_eq!(names, expected.map(|name| format!("events.out.tfevents.{name}")));
    }
}
