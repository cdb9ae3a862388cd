//! What a component without `std` must define itself, whatever its allocator: the memory routines,
//! a panic handler, and `realloc` for its host.

use core::alloc::Layout;
use core::panic::PanicInfo;

// SAFETY: nothing is declared in the block; it makes the linker take `memcpy` and its kin from the
// target's libc, and nothing else of it ends up in the component.
#[link(name = "c")]
unsafe extern "C" {}

/// A panic is a trap: the host takes it as the policy's failure. There is nowhere to print to.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// How the host makes room in this component's memory for what it passes in: the canonical ABI's
/// `realloc`.
// SAFETY: no other symbol of this component has this name.
#[unsafe(no_mangle)]
extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, new_size: usize) -> *mut u8 {
    if new_size == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    let Ok(layout) = Layout::from_size_align(if old_size == 0 { new_size } else { old_size }, align) else {
        core::arch::wasm32::unreachable()
    };
    // SAFETY: no size is zero, and by the canonical ABI `old` is a block of `old_size` bytes with
    // this alignment that came from here.
    let new = unsafe {
        if old_size == 0 { alloc::alloc::alloc(layout) } else { alloc::alloc::realloc(old, layout, new_size) }
    };
    if new.is_null() { core::arch::wasm32::unreachable() } else { new }
}
