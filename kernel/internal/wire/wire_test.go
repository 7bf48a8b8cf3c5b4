package wire

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

type everything struct {
	B bool
	I int
	U uint8
	F float64
	S string
	L []string
	Y []byte
	N []int
	A [2]int16
	P *everything
	M map[compute.OpType]bool
}

func TestPutGet(t *testing.T) {
	want := everything{true, -5, 200, 0.1, "é", []string{"", "x"}, []byte{0, 255}, nil, [2]int16{-1, 1},
		&everything{N: []int{}, M: map[compute.OpType]bool{}}, map[compute.OpType]bool{compute.OpTypeAdd: true, compute.OpTypeMul: false}}
	var e Enc
	e.Put(want)
	if e.Err != nil {
		t.Fatal(e.Err)
	}
	var got everything
	d := &Dec{B: e.B}
	d.Get(&got)
	if want.P.N == nil || !d.Done() {
		t.Errorf("%d bytes left", d.rest())
	}
	if got.P.M == nil {
		t.Error("an empty map became none")
	}
	want.M, want.P.M = got.M, got.P.M // compared below
	if !reflect.DeepEqual(got, want) || !got.M[compute.OpTypeAdd] || len(got.M) != 2 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// Every shorter message is an error, never anything else.
	for n := range e.B {
		if err := decode(e.B[:n], &got); err != errMalformed {
			t.Fatalf("%d of %d bytes: %v", n, len(e.B), err)
		}
	}
	e.Put(struct{ C chan int }{})
	if e.Err == nil {
		t.Error("a channel was sent")
	}
}

func decode(b []byte, to any) (err error) {
	defer Guard(&err)
	(&Dec{B: b}).Get(to)
	return nil
}

// Slices longer than what is allocated at once.
func TestLongSlice(t *testing.T) {
	want := make([]int, 5000)
	for i := range want {
		want[i] = i * i
	}
	var e Enc
	e.Put(want)
	var got []int
	if err := decode(e.B, &got); err != nil || !slices.Equal(got, want) {
		t.Errorf("%d numbers, %v", len(got), err)
	}
}

// A length that the message does not have allocates nothing.
func TestLengthsAreNotTrusted(t *testing.T) {
	huge := binary.AppendUvarint(nil, 1<<62)
	for _, to := range []any{new([]int), new([]float64), new(string), new(map[int]bool), new([][]byte)} {
		if err := decode(huge, to); err != errMalformed {
			t.Errorf("%T: %v", to, err)
		}
	}
	deep := bytes.Repeat([]byte{1, 0, 0, 2}, 1<<20) // a tuple in a tuple in a tuple ...
	if err := decode(deep, new(shapes.Shape)); err != errMalformed {
		t.Errorf("nested shapes: %v", err)
	}
}

func FuzzDec(f *testing.F) {
	var e Enc
	e.Put(everything{L: []string{"a"}, P: &everything{}})
	f.Add(e.B)
	f.Fuzz(func(t *testing.T, b []byte) {
		var x everything
		if err := decode(b, &x); err != nil {
			return
		}
		var again Enc // what could be read can be written and read
		again.Put(x)
		var y everything
		if err := decode(again.B, &y); again.Err != nil || err != nil {
			t.Errorf("%+v: %v, %v", x, again.Err, err)
		}
	})
}

func TestFrames(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	from, to := NewConn(a), NewConn(b)
	big := bytes.Repeat([]byte{7}, 100<<10)
	go func() {
		from.WriteFrame([]byte("x"), []byte("bulk"))
		from.WriteFrame(big, nil)
		from.WriteFrame(big, nil)
	}()
	one, err := to.ReadFrame(10)
	bulk := make([]byte, 3)
	if err != nil || string(one) != "x" || to.ReadBulk(bulk) != nil || string(bulk) != "bul" || to.SkipBulk(1) != nil {
		t.Errorf("%q %q %v", one, bulk, err)
	}
	if two, err := to.ReadFrame(len(big)); err != nil || !bytes.Equal(two, big) {
		t.Error(err)
	}
	if _, err := to.ReadFrame(len(big) - 1); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("a frame over the limit: %v", err)
	}
	if err := from.WriteFrame(make([]byte, MaxFrame+1), nil); err == nil {
		t.Error("a frame over the limit was written")
	}
}

// The key of the memo depends on shapes and attributes, and not on which values they are.
func TestMemoKey(t *testing.T) {
	key := func(id uint64, axis int, dims ...int) string {
		s := shapes.Make(dtypes.Float32, dims...)
		e := &Enc{Value: func(any) (uint64, *shapes.Shape, error) { return id, &s, nil }}
		e.Uint(id) // the function's number
		e.StartKey()
		e.Uint(9)
		e.PutArgs(reflect.TypeFor[func(compute.Value, int, compute.Value)](), []any{"v", axis, nil})
		return e.Key()
	}
	if key(1, 0, 2, 3) != key(300, 0, 2, 3) {
		t.Error("the key depends on the value's number")
	}
	if key(1, 0, 2, 3) == key(1, 1, 2, 3) || key(1, 0, 2, 3) == key(1, 0, 3, 2) || key(1, 0, 2, 3) == key(1, 0, 2) {
		t.Error("different calls have one key")
	}
}

func TestFlatBytes(t *testing.T) {
	for _, c := range []struct {
		s  shapes.Shape
		n  int64
		ok bool
	}{
		{shapes.Make(dtypes.Float32, 2, 3), 24, true},
		{shapes.Make(dtypes.Float64), 8, true},
		{shapes.Make(dtypes.Uint4, 3), 2, true},
		{shapes.Make(dtypes.Int8, 0, 5), 0, true},
		{shapes.Shape{DType: dtypes.Float32, Dimensions: []int{-1}}, 0, false},
		{shapes.Shape{DType: dtypes.Float32, Dimensions: []int{1 << 40, 1 << 40}}, 0, false},
		{shapes.Shape{DType: 99, Dimensions: []int{1}}, 0, false},
		{shapes.Shape{}, 0, false},
	} {
		if n, ok := FlatBytes(c.s); n != c.n || ok != c.ok {
			t.Errorf("%v %v: %d, %v", c.s.DType, c.s.Dimensions, n, ok)
		}
	}
}

func TestSameUser(t *testing.T) {
	dir, err := os.MkdirTemp("", "ft")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := SameUser(c); err != nil {
		t.Error(err)
	}
	a, _ := net.Pipe()
	if SameUser(a) == nil {
		t.Error("a pipe has no user")
	}
	if err := sameUser(os.Getuid()+1, os.Getuid()); err == nil {
		t.Error("another user is welcome")
	}
}
