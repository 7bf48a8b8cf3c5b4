//go:build !ftlab_session

package backend

import _ "github.com/gomlx/compute/gobackend"

// InProcess says whether this program has backends of its own. Built with the tag
// ftlab_session, as the cells of a notebook are, it has none and computes in the device
// server alone: it links in half the time.
const InProcess = true
