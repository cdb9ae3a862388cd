//! The allocator of an instance that lives for one call: memory is taken and hardly ever given
//! back, since all of it goes when the call ends.
//!
//! It starts in the memory that the instance has from the beginning. A general allocator would
//! have to grow the memory first, which costs two system calls and a page fault for every call of
//! the policy.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;
use core::ptr;

const PAGE: usize = 1 << 16;

/// Where the free memory starts; 0 before the first use.
pub(super) struct Arena(Cell<usize>);

// SAFETY: an instance has a single thread.
unsafe impl Sync for Arena {}

unsafe extern "C" {
    /// The end of the stack and of the static data, as the linker says.
    static __heap_base: u8;
}

impl Arena {
    pub(super) const fn new() -> Self {
        Self(Cell::new(0))
    }

    fn free_from(&self) -> usize {
        match self.0.get() {
            0 => &raw const __heap_base as usize,
            start => start,
        }
    }

    /// Takes everything from `start` on for `size` bytes; `None` if there is not as much.
    fn take(&self, start: usize, size: usize) -> Option<*mut u8> {
        let end = start.checked_add(size)?;
        let missing = end.saturating_sub(memory_size(0) * PAGE);
        if missing > 0 && memory_grow(0, missing.div_ceil(PAGE)) == usize::MAX {
            return None;
        }
        self.0.set(end);
        Some(ptr::with_exposed_provenance_mut(start))
    }

    /// Whether a block is the one that was taken last.
    fn is_last(&self, block: *mut u8, size: usize) -> bool {
        block.addr() + size == self.0.get()
    }
}

// SAFETY: a block starts where the last one ends or behind it, so blocks do not overlap; they lie
// within the memory, aligned as asked for. In WebAssembly all of the memory is one object, and
// nothing else uses what lies behind `__heap_base`: no other allocator is linked.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.free_from().checked_next_multiple_of(layout.align());
        start.and_then(|start| self.take(start, layout.size())).unwrap_or(ptr::null_mut())
    }

    // SAFETY: only the last block is taken back, and nothing lies behind it.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_last(block, layout.size()) {
            self.0.set(block.addr());
        }
    }

    // SAFETY: the last block grows or shrinks in place; any other is copied to a new one.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // A buffer that grows while it is filled is mostly the last block, and need not move.
        if self.is_last(block, layout.size()) {
            return self.take(block.addr(), new_size).unwrap_or(ptr::null_mut());
        }
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else { return ptr::null_mut() };
        // SAFETY: the caller vouches for the block and for a size that is not zero; the new block
        // does not overlap the old one.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
            }
            new
        }
    }
}
