import Compute
import Container

/// What the bytes of a type stand for.
extension GGUFType {
    /// In which format the container can hold such blocks code for code.
    var importFormat: ImportFormat? {
        switch self {
        case .q8_0: ImportFormat(format: .q8, scaleFormat: .f16)
        case .q4_0: ImportFormat(format: .q4, table: .linear, scaleFormat: .f16)
        case .iq4_nl: ImportFormat(format: .q4, table: .nonLinear, scaleFormat: .f16)
        case .mxfp4: Microscaling.importFormat
        default: nil
        }
    }

    /// - Parameters:
    ///   - raw: whole blocks of one of the types in `readable`, aligned to 64 bytes.
    ///   - values: as many as the blocks have.
    func decode(_ raw: UnsafeRawBufferPointer, into values: UnsafeMutableBufferPointer<Float>) {
        precondition(raw.count / blockByteCount * blockLength == values.count)
        if let blockDecoding = unsafe blockDecoding {
            for block in 0..<raw.count / blockByteCount {
                let (bytes, first) = (block * blockByteCount, block * blockLength)
                unsafe blockDecoding(
                    UnsafeRawBufferPointer(rebasing: raw[bytes..<bytes + blockByteCount]),
                    UnsafeMutableBufferPointer(rebasing: values[first..<first + blockLength]))
            }
            return
        }
        guard let importFormat else {
            let element: ElementType = self == .f16 ? .f16 : self == .bf16 ? .bf16 : .f32
            return unsafe FloatReading.convert(element, raw, into: values)
        }
        let codes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: values.count)
        defer { unsafe codes.deallocate() }
        let scales = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: values.count / blockLength)
        defer { unsafe scales.deallocate() }
        unsafe unpack(raw, codes: codes, scales: scales)
        let table = importFormat.table.values.map(Float.init)
        for group in scales.indices {
            let scale = unsafe NumberFormat.float(scale: scales[group], importFormat.scaleFormat)
            for index in group * blockLength..<(group + 1) * blockLength {
                let code = unsafe codes[index]
                let value = importFormat.format == .q8 ? Float(Int8(bitPattern: code)) : table[Int(code)]
                unsafe values[index] = value * scale
            }
        }
    }

    /// Takes blocks of a type that has an `importFormat` apart: a scale (of MXFP4 an exponent, a byte), then 32 signed
    /// bytes, or 16 bytes of which byte i holds element i in the low and 16 + i in the high half.
    func unpack(
        _ raw: UnsafeRawBufferPointer, codes: UnsafeMutableBufferPointer<UInt8>,
        scales: UnsafeMutableBufferPointer<UInt16>
    ) {
        guard let blocks = raw.baseAddress, let target = UnsafeMutableRawPointer(codes.baseAddress) else { return }
        let scaleByteCount = self == .mxfp4 ? 1 : 2
        let (blockByteCount, isByteWide) = (blockByteCount, self == .q8_0)
        for group in scales.indices {
            let block = unsafe blocks + group * blockByteCount
            unsafe scales[group] =
                scaleByteCount == 1
                ? Microscaling.halfScale(block.load(as: UInt8.self)) : block.loadUnaligned(as: UInt16.self)
            let first = unsafe target + group * BlockFormat.groupSize
            if isByteWide {
                unsafe first.copyMemory(from: block + scaleByteCount, byteCount: BlockFormat.groupSize)
            } else {
                let bytes = unsafe (block + scaleByteCount).loadUnaligned(as: SIMD16<UInt8>.self)
                unsafe first.storeBytes(of: bytes & 15, as: SIMD16<UInt8>.self)
                unsafe (first + 16).storeBytes(of: bytes &>> 4, as: SIMD16<UInt8>.self)
            }
        }
    }
}
