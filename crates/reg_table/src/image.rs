//! Where register values live.

use crate::Register;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;

/// Dwords of a [`Page`].
pub const PAGE_WORDS: usize = 1024;

/// 4 KiB of registers: the configuration space of one function, in the order in which the guest reads it. Any word may be read
/// without a lock, and no value exists only on read, so that a monitor may map images read-only into its guest.
///
/// It begins with a cache line, not with a page: were all images of a segment page-aligned, the words that every scan reads would
/// compete for one set of each cache, and the counters before each would take another page. A monitor that maps them asks for
/// pages here, which changes nothing else.
#[repr(C, align(64))]
pub struct Page([AtomicU32; PAGE_WORDS]);

const _: () = assert!(size_of::<Page>() == 4096);

impl core::fmt::Debug for Page {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Page")
    }
}

impl Page {
    /// A page with `fill` in every word.
    pub fn new(fill: u32) -> Arc<Self> {
        Arc::new(Self([const { AtomicU32::new(0) }; PAGE_WORDS])).filled(fill)
    }

    fn filled(self: Arc<Self>, fill: u32) -> Arc<Self> {
        if fill != 0 {
            self.fill(0..PAGE_WORDS, fill);
        }
        self
    }

    /// All words.
    #[inline]
    pub fn words(&self) -> &[AtomicU32; PAGE_WORDS] {
        &self.0
    }

    /// The dword at a byte offset; offsets wrap at the end of the page, the low two bits are ignored.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "the index is masked to the array's length"
    )]
    pub fn load(&self, offset: u16) -> u32 {
        self.0[(offset as usize / 4) & (PAGE_WORDS - 1)].load(Ordering::Relaxed)
    }

    /// Changes the dword at a byte offset in one step; offsets as in [`Self::load`].
    #[expect(
        clippy::indexing_slicing,
        reason = "the index is masked to the array's length"
    )]
    pub fn update(&self, offset: u16, change: impl Fn(u32) -> u32) {
        let word = &self.0[(offset as usize / 4) & (PAGE_WORDS - 1)];
        // The closure always answers, so this cannot fail.
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            Some(change(old))
        });
    }

    /// Stores `value` in a range of words; words past the end are ignored.
    pub fn fill(&self, words: core::ops::Range<usize>, value: u32) {
        for word in self.0.iter().take(words.end).skip(words.start) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// The words of one register file: its own, or a run of a function's page.
#[derive(Clone)]
pub(crate) enum Words {
    Own(Arc<[AtomicU32]>),
    Page {
        page: Arc<Page>,
        first: u16,
        len: u16,
    },
}

impl Words {
    pub(crate) fn own(values: impl Iterator<Item = u32>) -> Self {
        Self::Own(values.map(AtomicU32::new).collect::<Box<[_]>>().into())
    }

    /// A run of a page; `None` if it sticks out.
    pub(crate) fn in_page(page: Arc<Page>, first: usize, len: usize) -> Option<Self> {
        page.0.get(first..first.checked_add(len)?)?;
        let (first, len) = (u16::try_from(first).ok()?, u16::try_from(len).ok()?);
        Some(Self::Page { page, first, len })
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[AtomicU32] {
        match self {
            Self::Own(words) => words,
            Self::Page { page, first, len } => {
                let first = usize::from(*first);
                page.0
                    .get(first..first + usize::from(*len))
                    .unwrap_or_default()
            }
        }
    }

    /// A register's value.
    pub(crate) fn get(&self, register: &Register) -> u32 {
        self.as_slice().get(register.word()).map_or(0, |word| {
            (word.load(Ordering::Relaxed) >> register.shift()) & register.mask()
        })
    }
}
