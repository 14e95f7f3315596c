import Compute

extension MatrixEncoder {
    /// Eight rows at a time, group by group, whatever the layout: the search takes a row a lane.
    func encodeGroups(
        _ values: UnsafePointer<Float>, _ rows: Range<Int>, _ base: UnsafeMutableRawPointer
    ) throws(QuantizerError) -> Loss {
        var loss = Loss()
        var fits = true
        let panelRows = MatrixShape.panelRows
        let group = BlockFormat.groupSize
        unsafe withUnsafeTemporaryAllocation(byteCount: 512, alignment: 64) { scratch in
            guard let start = scratch.baseAddress else { return }
            let codes = unsafe start.assumingMemoryBound(to: UInt8.self)
            let scales = unsafe (start + 256).assumingMemoryBound(to: UInt16.self)
            let error = unsafe (start + 320).assumingMemoryBound(to: Float.self)
            let energy = unsafe (start + 384).assumingMemoryBound(to: Float.self)
            var row = rows.lowerBound
            while row < rows.upperBound {
                let count = min(panelRows, rows.upperBound - row)
                for index in 0..<shape.groupsPerRow {
                    let source = unsafe values + (row - rows.lowerBound) * shape.columns + index * group
                    fits =
                        unsafe Kernels.quantizeGroup(
                            shape.format, source, rowStride: shape.columns, rows: count, scales: scales, codes: codes,
                            error: error, energy: energy) && fits
                    for lane in 0..<count {
                        loss.error += unsafe Double(error[lane])
                        loss.energy += unsafe Double(energy[lane])
                    }
                    if shape.layout == .panels {
                        unsafe storePanel(scales, start, index, base + row / panelRows * stride)
                    } else {
                        unsafe storeRows(scales, start, index, base + row * stride, count)
                    }
                }
                row += count
            }
        }
        guard fits else {
            throw QuantizerError(
                code: .outOfRange, message: "the weights are too large for f16 scales",
                advice: "Convert this model with --type bf16")
        }
        return loss
    }

    /// Four codes of a row as one word: words 0…7 of a row's 32 codes.
    private func word(_ codes: UnsafeRawPointer, _ row: Int, _ index: Int) -> UInt32 {
        unsafe codes.load(fromByteOffset: row * BlockFormat.groupSize + index * 4, as: UInt32.self)
    }

    /// Two words of codes below 16 in one: the first in the low halves of the bytes.
    private func nibbles(_ codes: UnsafeRawPointer, _ row: Int, _ index: Int) -> UInt32 {
        unsafe word(codes, row, index) | word(codes, row, index + 4) << 4
    }

    private func storePanel(
        _ scales: UnsafePointer<UInt16>, _ codes: UnsafeRawPointer, _ group: Int, _ panel: UnsafeMutableRawPointer
    ) {
        let rows = MatrixShape.panelRows
        unsafe (panel + group * rows * 2).copyMemory(from: scales, byteCount: rows * 2)
        let lineCount = shape.format == .q8 ? 8 : 4
        let target = unsafe (panel + shape.scaleByteCount + group * lineCount * rows * 4)
            .assumingMemoryBound(to: UInt32.self)
        for line in 0..<lineCount {
            for row in 0..<rows {
                unsafe target[line * rows + row] =
                    lineCount == 8 ? word(codes, row, line) : nibbles(codes, row, line)
            }
        }
    }

    private func storeRows(
        _ scales: UnsafePointer<UInt16>, _ codes: UnsafeRawPointer, _ group: Int, _ first: UnsafeMutableRawPointer,
        _ count: Int
    ) {
        let lineCount = shape.format == .q8 ? 8 : 4
        for row in 0..<count {
            let start = unsafe first + row * stride
            unsafe start.storeBytes(of: scales[row], toByteOffset: group * 2, as: UInt16.self)
            let target = unsafe (start + shape.scaleByteCount + group * lineCount * 4)
                .assumingMemoryBound(to: UInt32.self)
            for line in 0..<lineCount {
                unsafe target[line] = lineCount == 8 ? word(codes, row, line) : nibbles(codes, row, line)
            }
        }
    }
}
