//! Large stretches of memory that are looked into here and there. What has not been written to takes none.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// So many words of zeros that several threads may look into. The operating system is asked to lay them in large pages, if it has
/// them: of many millions of groups each is on a small page of its own, and finding the page takes as long as reading it.
pub(super) fn zeros(words: usize) -> Vec<AtomicU64> {
    let zeros = plain_zeros(words);
    let mut zeros = ManuallyDrop::new(zeros);
    // SAFETY: pointer, length and capacity are those of a vector that is not used any more, and an `AtomicU64` has the size,
    // the alignment and the bits of a `u64`.
    #[allow(unsafe_code)]
    unsafe {
        Vec::from_raw_parts(zeros.as_mut_ptr().cast::<AtomicU64>(), zeros.len(), zeros.capacity())
    }
}

/// The same for one thread.
pub(super) fn plain_zeros(words: usize) -> Vec<u64> {
    let zeros = vec![0; words];
    #[cfg(target_os = "linux")]
    in_large_pages(&zeros);
    zeros
}

/// So many halves of words of zeros that several threads may look into.
pub(super) fn zeros32(halves: usize) -> Vec<AtomicU32> {
    let mut zeros = ManuallyDrop::new(vec![0u32; halves]);
    // SAFETY: as above, with an `AtomicU32` and a `u32`.
    #[allow(unsafe_code)]
    unsafe {
        Vec::from_raw_parts(zeros.as_mut_ptr().cast::<AtomicU32>(), zeros.len(), zeros.capacity())
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn in_large_pages(words: &[u64]) {
    const LARGE: usize = 2 << 20;
    let from = words.as_ptr().addr().next_multiple_of(LARGE);
    let to = (words.as_ptr().addr() + size_of_val(words)) / LARGE * LARGE;
    if from < to {
        // SAFETY: whole pages within memory that is ours; the advice is about where they lie, not about what they hold. If it is
        // not taken nothing is different.
        unsafe { libc::madvise(words.as_ptr().cast_mut().with_addr(from).cast(), to - from, libc::MADV_HUGEPAGE) };
    }
}
