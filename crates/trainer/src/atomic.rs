//! Files and folders that are whole or not there: made beside their place, then renamed.

use std::io::{self, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile, TempDir};

/// A file beside `path`, for whom the umask lets read it.
///
/// # Errors
///
/// When the folder is not there or not writable.
pub fn file_beside(path: &Path) -> io::Result<NamedTempFile> {
    builder(0o666).tempfile_in(folder_of(path))
}

/// A folder beside `path`, likewise; it goes when dropped.
///
/// # Errors
///
/// When the folder around it is not there or not writable.
pub fn folder_beside(path: &Path) -> io::Result<TempDir> {
    builder(0o777).tempdir_in(folder_of(path))
}

/// Brings a file that was made beside `path` to the disk, and to its place.
///
/// # Errors
///
/// When the disk is full, or what is there cannot be replaced.
pub fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Writes a file.
///
/// # Errors
///
/// When the folder is not there or not writable, or the disk is full; what was there stays.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let mut file = file_beside(path)?;
    file.write_all(bytes.as_ref())?;
    persist(file, path)
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Hidden names, and the permissions of an ordinary file or folder instead of the owner's only.
fn builder(mode: u32) -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        for text in ["first", "second"] {
            write(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        // What is not brought to its place goes.
        drop(file_beside(&path).unwrap());
        drop(folder_beside(&path).unwrap());
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(write(&folder.path().join("no folder/a.txt"), "x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn files_have_the_permissions_of_ordinary_ones() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours, "x").unwrap();
        std::fs::write(&plain, "x").unwrap();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
