package backend

// Malloc is the setting of glibc's malloc that XLA on a processor runs best with
// (measured on training steps: a third of the wall time for huge pages, and 8 to 13 %
// of the processor time for the rest). XLA takes and gives back large buffers at every
// operation: they come from heaps that are kept instead of from fresh mappings, whose
// pages the kernel would clear each time. One heap for all threads would be a little
// faster still, but slows compilation down by 40 %.
const Malloc = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1073741824"
