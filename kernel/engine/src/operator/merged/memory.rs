//! Large stretches of memory that are looked into here and there.

/// So many words of zeros; what has not been written to takes no memory. The operating system is asked to lay them in large
/// pages, if it has them: of many millions of groups each is on a small page of its own, and finding the page takes as long as
/// reading it.
pub(super) fn zeros(words: usize) -> Vec<u64> {
    let zeros = vec![0; words];
    #[cfg(target_os = "linux")]
    in_large_pages(&zeros);
    zeros
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
