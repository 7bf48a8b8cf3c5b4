package corpus

// HubCache is the folder of the hub's cache, found as its Python client does: from
// HF_HUB_CACHE, HF_HOME or XDG_CACHE_HOME, else below the home directory.
func HubCache() string { return hubCache() }

// HubOffline says whether HF_HUB_OFFLINE forbids downloads.
func HubOffline() bool { return offline(OpenOptions{}) }
