package backend

// Malloc is the setting of glibc's malloc that XLA on a processor runs best with
// (measured on training steps: a third of the wall time for huge pages, and 8 to 13 %
// of the processor time for the rest). XLA takes and gives back large buffers at every
// operation: they come from one heap that is kept instead of from fresh mappings, whose
// pages the kernel would clear each time.
const Malloc = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1073741824:glibc.malloc.arena_max=1:glibc.malloc.top_pad=67108864"
