//go:build !ftlab_session

package corpus

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

type decodeFunc func(parquet.Value) (v any, invalid bool)

// leafDecoder is how the values of a leaf column become Go values: numbers stay
// numbers, dates and times become ISO 8601 strings, decimals numbers where a
// float64 holds them exactly enough (15 digits) and strings otherwise, JSON
// columns what they hold, other bytes strings when they are UTF-8.
func leafDecoder(c *parquet.Column, logical format.LogicalTypeValue) decodeFunc {
	if lt := c.Type().LogicalType(); lt != nil && logical == nil {
		logical = lt.Value // made of the converted type of an older file
	}
	switch c.Type().Kind() {
	case parquet.Boolean:
		return func(v parquet.Value) (any, bool) { return v.Boolean(), false }
	case parquet.Int32:
		return intDecoder(logical, func(v parquet.Value) int64 { return int64(v.Int32()) })
	case parquet.Int64:
		return intDecoder(logical, parquet.Value.Int64)
	case parquet.Int96:
		return func(v parquet.Value) (any, bool) { return int96Time(v), false }
	case parquet.Float:
		return func(v parquet.Value) (any, bool) { return float64(v.Float()), false }
	case parquet.Double:
		return func(v parquet.Value) (any, bool) { return v.Double(), false }
	}
	return bytesDecoder(logical)
}

func intDecoder(logical format.LogicalTypeValue, get func(parquet.Value) int64) decodeFunc {
	switch lt := logical.(type) {
	case *format.IntType:
		if !lt.IsSigned {
			return func(v parquet.Value) (any, bool) {
				if v.Kind() == parquet.Int32 {
					return int64(v.Uint32()), false
				}
				if u := v.Uint64(); u > math.MaxInt64 {
					return float64(u), false
				}
				return get(v), false
			}
		}
	case *format.DateType:
		return func(v parquet.Value) (any, bool) {
			return time.Unix(get(v)*86400, 0).UTC().Format("2006-01-02"), false
		}
	case *format.TimestampType:
		unit := unitOf(lt.Unit)
		return func(v parquet.Value) (any, bool) { return timestamp(get(v), unit, lt.IsAdjustedToUTC), false }
	case *format.TimeType:
		unit := unitOf(lt.Unit)
		return func(v parquet.Value) (any, bool) {
			return time.Unix(0, 0).UTC().Add(time.Duration(get(v)) * unit).Format("15:04:05.999999999"), false
		}
	case *format.DecimalType:
		return func(v parquet.Value) (any, bool) { return decimal(big.NewInt(get(v)), lt), false }
	}
	return func(v parquet.Value) (any, bool) { return get(v), false }
}

func unitOf(u format.TimeUnit) time.Duration {
	if u.Value == nil {
		return time.Nanosecond
	}
	return u.Value.Duration()
}

func timestamp(n int64, unit time.Duration, utc bool) string {
	per := int64(time.Second / unit)
	sec, frac := n/per, n%per
	t := time.Unix(sec, frac*int64(unit)).UTC()
	if utc {
		return t.Format(time.RFC3339Nano)
	}
	return t.Format("2006-01-02T15:04:05.999999999") // local time of no known place
}

// int96Time reads the timestamps of old Spark and Impala files: nanoseconds of
// the day and a Julian day.
func int96Time(v parquet.Value) string {
	x := v.Int96()
	nanos := int64(uint64(x[1])<<32 | uint64(x[0]))
	days := int64(x[2]) - 2440588 // Julian day of 1970-01-01
	return time.Unix(days*86400, nanos).UTC().Format(time.RFC3339Nano)
}

// decimal is unscaled * 10^-scale.
func decimal(unscaled *big.Int, lt *format.DecimalType) any {
	if lt.Scale == 0 && unscaled.IsInt64() {
		return unscaled.Int64()
	}
	scale := min(max(int(lt.Scale), 0), 1000)
	text := unscaled.String()
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	if len(text) <= scale {
		text = strings.Repeat("0", scale-len(text)+1) + text
	}
	if scale > 0 {
		text = text[:len(text)-scale] + "." + text[len(text)-scale:]
	}
	if lt.Precision <= 15 {
		if f, err := json.Number(sign + text).Float64(); err == nil {
			return f
		}
	}
	return sign + text
}

func bytesDecoder(logical format.LogicalTypeValue) decodeFunc {
	switch lt := logical.(type) {
	case *format.StringType, *format.EnumType:
		return func(v parquet.Value) (any, bool) {
			b := v.ByteArray()
			if !utf8.Valid(b) {
				return string(bytes.ToValidUTF8(b, []byte("\uFFFD"))), true
			}
			return string(b), false
		}
	case *format.JsonType:
		return func(v parquet.Value) (any, bool) {
			b := v.ByteArray()
			dec := json.NewDecoder(bytes.NewReader(b))
			dec.UseNumber()
			var out any
			if err := dec.Decode(&out); err != nil {
				return string(bytes.ToValidUTF8(b, []byte("\uFFFD"))), !utf8.Valid(b)
			}
			return plainNumbers(out), !utf8.Valid(b)
		}
	case *format.DecimalType:
		return func(v parquet.Value) (any, bool) { return decimal(twosComplement(v.ByteArray()), lt), false }
	case *format.UUIDType:
		return func(v parquet.Value) (any, bool) {
			b := v.ByteArray()
			if len(b) != 16 {
				return bytes.Clone(b), false
			}
			return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), false
		}
	case *format.Float16Type:
		return func(v parquet.Value) (any, bool) {
			if b := v.ByteArray(); len(b) == 2 {
				return float16(binary.LittleEndian.Uint16(b)), false
			}
			return nil, false
		}
	case *format.BsonType:
		return func(v parquet.Value) (any, bool) { return bytes.Clone(v.ByteArray()), false }
	}
	return func(v parquet.Value) (any, bool) {
		if b := v.ByteArray(); !utf8.Valid(b) {
			return bytes.Clone(b), false
		}
		return string(v.ByteArray()), false
	}
}

// twosComplement reads a big-endian signed number of any length.
func twosComplement(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

func float16(h uint16) float64 {
	sign, exp, frac := 1.0, int(h>>10&31), float64(h&1023)
	if h&0x8000 != 0 {
		sign = -1
	}
	switch exp {
	case 0:
		return sign * frac / 1024 * math.Pow(2, -14)
	case 31:
		if frac != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * (1 + frac/1024) * math.Pow(2, float64(exp-15))
}

// dotted is the path of a nested column as "a.b", without the list wrappers.
func dotted(path []string) string {
	var out []string
	for i := 0; i < len(path); i++ {
		if (path[i] == "list" || path[i] == "bag") && i+1 < len(path) {
			i++
			continue
		}
		out = append(out, path[i])
	}
	return strings.Join(out, ".")
}
