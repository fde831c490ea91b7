//! A file that several threads read at once.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// An open file whose reads each say where they begin: copies of a [`File`] share one position, so
/// that threads which seek and read would get each other's bytes.
#[derive(Clone, Debug)]
pub(super) struct SharedFile {
    file: Arc<Mutex<File>>,
    length: u64,
}

impl SharedFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file: Arc::new(Mutex::new(file)), length })
    }

    fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start))?;
        file.read(buffer)
    }
}

impl Length for SharedFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for SharedFile {
    type T = BufReader<ReadFrom>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(ReadFrom { file: self.clone(), place: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // What a damaged file asks for is not allocated before it is known to be there.
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start}")));
        }
        let mut bytes = vec![0; length];
        ReadFrom { file: self.clone(), place: start }.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// The file from a place on.
pub(super) struct ReadFrom {
    file: SharedFile,
    place: u64,
}

impl Read for ReadFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.place, buffer)?;
        self.place += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn threads_get_the_bytes_they_ask_for() {
        let mut file = tempfile::tempfile().unwrap();
        let numbers: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).collect();
        file.write_all(&numbers).unwrap();
        let shared = SharedFile::new(file).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (shared, numbers) = (shared.clone(), &numbers);
                scope.spawn(move || {
                    for round in 0..500 {
                        let start = (round * 7919 + thread * 104_729) % 100_000;
                        let expected = &numbers[start..start + 1000];
                        assert_eq!(shared.get_bytes(start as u64, 1000).unwrap(), expected);
                        let mut read = vec![0; 1000];
                        shared.get_read(start as u64).unwrap().read_exact(&mut read).unwrap();
                        assert_eq!(read, expected);
                    }
                });
            }
        });
    }

    #[test]
    fn more_than_the_file_holds_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let shared = SharedFile::new(file).unwrap();
        assert_eq!(shared.len(), 10);
        assert_eq!(shared.get_bytes(7, 3).unwrap(), "789");
        for (start, length) in [(8, 3), (u64::MAX, 1), (0, usize::MAX)] {
            assert!(shared.get_bytes(start, length).is_err());
        }
    }
}
