//! The sources of the standard library as the analyzer sees them: all of it, less the processors' own instructions. These are
//! half of its lines, no notebook's types come from them, and to read them costs every session a second and 80 MB.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::toolchain::RUSTC;

/// Where the instructions are, and the vectors that are made of them; the files that `core` and `std` take in are left empty.
const INSTRUCTIONS: [&str; 2] = ["portable-simd", "stdarch"];
const TAKEN_IN: [&str; 3] = [
    "portable-simd/crates/core_simd/src/mod.rs",
    "portable-simd/crates/std_float/src/lib.rs",
    "stdarch/crates/core_arch/src/mod.rs",
];

/// Makes the sources in `folder`, of links to the compiler's own; gives their place, or `None` where the compiler has none.
pub(crate) fn prepare(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let library = Path::new(RUSTC).ancestors().nth(2).map(|root| root.join("lib/rustlib/src/rust/library"));
    let Some(library) = library.filter(|library| TAKEN_IN.iter().all(|file| library.join(file).exists())) else {
        return Ok(None);
    };
    lean(&library, folder)?;
    Ok(Some(folder.to_owned()))
}

fn lean(library: &Path, folder: &Path) -> std::io::Result<()> {
    for empty in TAKEN_IN.map(|file| folder.join(file)) {
        std::fs::create_dir_all(empty.parent().unwrap_or(folder))?;
        std::fs::write(empty, "")?;
    }
    for entry in std::fs::read_dir(library)? {
        let name = entry?.file_name();
        if !INSTRUCTIONS.iter().any(|left_out| name == *left_out) {
            symlink(library.join(&name), folder.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn everything_is_there_but_the_instructions() {
        let (library, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |file: &str| {
            let path = library.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        };
        for file in ["Cargo.toml", "core/src/lib.rs", "stdarch/crates/core_arch/src/x86/mod.rs"].iter().chain(&TAKEN_IN)
        {
            write(file);
        }
        lean(library.path(), folder.path()).unwrap();
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).ok();
        assert_eq!(read("core/src/lib.rs").as_deref(), Some("core/src/lib.rs"));
        assert!(TAKEN_IN.iter().all(|file| read(file).as_deref() == Some("")));
        assert_eq!(read("stdarch/crates/core_arch/src/x86/mod.rs"), None);
    }
}
