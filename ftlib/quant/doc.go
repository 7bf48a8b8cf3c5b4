// Package quant holds weights in four or eight bits as bitsandbytes does: NF4 and FP4
// in blocks with a scale each (Dettmers et al. 2023, QLoRA), the scales quantised once
// more where asked for, and int8 with a scale a row.
//
//	w, err := quant.Quantize(values, []int{out, in}, quant.Config{Type: quant.NF4, Double: true})
//	w.Dequantize(values)          // what the model computes with
//	w.Tensors("layer.weight")     // the keys that bitsandbytes writes
//
// A block is 64 neighbours of the flattened weight. Its largest magnitude, absmax, maps
// it to [-1, 1], where each value becomes the nearest of 16 codes; two codes share a
// byte, the first in the high nibble. With double quantization the absmax, less their
// mean, are stored in 8 bits of bitsandbytes' dynamic map, 256 to a block: 4.127 bits a
// weight instead of 4.5. Bytes and values agree with bitsandbytes 0.50.2.
package quant
