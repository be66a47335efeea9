//! Files -> the archive from which a kernel starts (`cpio` of the kind `newc`, see the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`).

/// A folder's mode, a file's that runs, a character device's.
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;

/// An archive whose one program, `/init`, is `init`.
pub fn of(init: &[u8]) -> Vec<u8> {
    let mut archive = Vec::with_capacity(init.len() + 1024);
    for folder in ["dev", "proc", "sys"] {
        entry(&mut archive, folder, FOLDER, &[], [0, 0]);
    }
    entry(&mut archive, "dev/console", DEVICE, &[], [5, 1]);
    entry(&mut archive, "init", PROGRAM, init, [0, 0]);
    entry(&mut archive, "TRAILER!!!", 0, &[], [0, 0]);
    archive
}

fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8], device: [u32; 2]) {
    let length = |bytes: usize| u32::try_from(bytes).expect("a guest binary below 4 GiB");
    // Two names with one inode would be links.
    let inode = length(archive.len() + 1);
    let fields = [inode, mode, 0, 0, 1, 0, length(content.len()), 0, 0, device[0], device[1], length(name.len() + 1), 0];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    align(archive);
    archive.extend_from_slice(content);
    align(archive);
}

fn align(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_archive_has_its_entries_aligned_and_ends() {
        let archive = super::of(b"\x7fELF!");
        assert_eq!(archive.len() % 4, 0);
        let places: Vec<_> = archive.windows(6).enumerate().filter(|(_, bytes)| bytes == b"070701").map(|(place, _)| place).collect();
        assert_eq!(places.len(), 6);
        assert!(places.iter().all(|place| place % 4 == 0));
        assert!(String::from_utf8_lossy(&archive).contains("TRAILER!!!"));
    }
}
