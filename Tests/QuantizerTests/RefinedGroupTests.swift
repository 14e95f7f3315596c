import Compute
import TestSupport
import Testing

/// Codes of four bits and what refines them.
@Suite("Quantising groups in two planes")
struct RefinedGroupTests {
    private struct Groups {
        var scales = [UInt16](repeating: 0, count: 8 * 4)
        var codes = [UInt8](repeating: 0, count: 8 * 128)
        var refinements = [UInt8](repeating: 0, count: 8 * 128)
        var coarseError = 0.0
        var refinedError = 0.0
        var energy = 0.0
    }

    private func encode(_ input: [Float], weights: [Float]? = nil, kernels: Kernels = .best) throws -> Groups {
        var groups = Groups()
        let loss = input.withUnsafeBufferPointer { input in
            weights.withPointer { weights in
                input.baseAddress.flatMap { start in
                    kernels.encodeRefined(
                        start, rowStride: 128, rows: 8, groups: 4, weights: weights, scales: &groups.scales,
                        codes: &groups.codes, refinements: &groups.refinements)
                }
            }
        }
        let found = try #require(loss)
        groups.coarseError = found.coarse.error
        groups.energy = found.coarse.energy
        groups.refinedError = found.refinedError
        return groups
    }

    /// Every value that a code's refinements make.
    private static let values: [[Float]] = (0..<16).map { code in
        let table = CodeTable.nonLinear.values.map(Int.init)
        let own = (-127...127).filter { number in
            let distances = table.map { abs($0 - number) }
            return distances.firstIndex(of: distances.min() ?? 0) == code
        }
        return (0..<16).map { Float((own.first ?? 0) + $0 + (own.count > 16 ? ($0 * (own.count - 15)) >> 4 : 0)) }
    }

    @Test(arguments: [Float(1), 1e-4, 3e4], [false, true])
    func everyInstructionSetGivesTheSame(size: Float, isWeighted: Bool) throws {
        let weights = isWeighted ? Noise.floats(count: 128, seed: 9).map { $0.magnitude * 50 } : nil
        for seed in 1...20 as ClosedRange<UInt64> {
            let input = Noise.floats(count: 1024, seed: seed).map { $0 * size }
            let reference = try encode(input, weights: weights, kernels: Kernels.available[0])
            for kernels in Kernels.available {
                let groups = try encode(input, weights: weights, kernels: kernels)
                #expect(groups.codes == reference.codes && groups.refinements == reference.refinements)
                #expect(groups.scales == reference.scales && groups.refinedError == reference.refinedError)
            }
        }
    }

    @Test func codesAndRefinementsAreTheNearestForTheStoredScale() throws {
        let input = Noise.floats(count: 1024, seed: 4)
        let groups = try encode(input)
        var (coarse, refined) = (0.0, 0.0)
        for (place, value) in input.enumerated() {
            let scale = NumberFormat.float(f16: groups.scales[place / 128 * 4 + place % 128 / 32])
            let (code, refinement) = (Int(groups.codes[place]), Int(groups.refinements[place]))
            let rough = value - Float(CodeTable.nonLinear.values[code]) * scale
            let left = value - Self.values[code][refinement] * scale
            for entry in CodeTable.nonLinear.values {
                #expect(abs(rough) <= abs(value - Float(entry) * scale) + abs(scale) * 1e-3)
            }
            for other in Self.values[code] { #expect(abs(left) <= abs(value - other * scale) + abs(scale) * 1e-3) }
            // Whatever isn't at the ends of the table's widest steps is within a unit and a half.
            #expect(abs(left) <= abs(scale) * 1.01)
            coarse += Double(rough) * Double(rough)
            refined += Double(left) * Double(left)
        }
        #expect(abs(groups.coarseError - coarse) <= 1e-4 * coarse)
        #expect(abs(groups.refinedError - refined) <= 1e-4 * refined)
    }

    /// What the planes cost against codes that are searched for themselves.
    @Test func bothPlanesAreNearlyAsGoodAsPlainOnes() throws {
        var (coarse, refined, plain4, plain8) = (0.0, 0.0, 0.0, 0.0)
        for seed in 1...30 as ClosedRange<UInt64> {
            let input = Noise.floats(count: 1024, seed: seed)
            let groups = try encode(input)
            coarse += groups.coarseError
            refined += groups.refinedError
            var (scales, codes) = (groups.scales, groups.codes)
            func error(_ format: BlockFormat, _ table: CodeTable) throws -> Double {
                try #require(
                    Kernels.best.encode(
                        format, table: table, input, rowStride: 128, rows: 8, groups: 4, scales: &scales, codes: &codes)
                ).error
            }
            plain4 += try error(.q4, .nonLinear)
            plain8 += try error(.q8, .linear)
        }
        #expect(coarse < plain4 * 1.06 && coarse > plain4)
        #expect(refined < plain8 * 1.9 && refined < coarse / 100)
    }

    @Test func zerosStayZeros() throws {
        let groups = try encode([Float](repeating: 0, count: 1024))
        #expect(groups.scales.allSatisfy { $0 == 0 } && groups.refinedError == 0 && groups.coarseError == 0)
    }

    @Test func everyInstructionSetPutsPlanesTogetherAlike() throws {
        let shape = MatrixShape(rows: 24, columns: 96, format: .q4, layout: .panels)
        var random = SplitMix(seed: 12)
        let coarse = random.bytes(shape.byteCount)
        let plane = random.bytes(shape.panelCount * shape.refinementStrideByteCount)
        var results: Set<[UInt8]> = []
        for kernels in Kernels.available {
            var fine = [UInt8](repeating: 0xAA, count: shape.refined.byteCount)
            fine.withUnsafeMutableBytes { fine in
                coarse.withUnsafeBytes { coarse in
                    plane.withUnsafeBytes { plane in
                        guard let to = fine.baseAddress, let from = coarse.baseAddress, let second = plane.baseAddress
                        else { return }
                        kernels.refine(
                            shape, coarse: from, coarseStride: shape.strideByteCount, refinements: second,
                            refinementStride: shape.refinementStrideByteCount, into: to,
                            fineStride: shape.refined.strideByteCount)
                    }
                }
            }
            results.insert(fine)
        }
        #expect(results.count == 1)
        // Row by row against the table.
        let fine = try #require(results.first)
        for row in 0..<shape.rows {
            var (rough, exact) = ([Float](repeating: 0, count: 96), [Float](repeating: 0, count: 96))
            coarse.withUnsafeBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                MatrixPacking(shape).unpackRow(row, of: base, table: .nonLinear, into: &rough)
            }
            fine.withUnsafeBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                MatrixPacking(shape.refined).unpackRow(row, of: base, table: .linear, into: &exact)
            }
            for column in 0..<96 {
                let place = row / 8 * shape.strideByteCount + (column / 32 * 8 + row % 8) * 2
                let scale = NumberFormat.float(f16: UInt16(coarse[place]) | UInt16(coarse[place + 1]) << 8)
                guard scale.isFinite, scale != 0 else { continue }
                let code = CodeTable.nonLinear.values.firstIndex { Float($0) * scale == rough[column] }
                #expect(code.map { Self.values[$0].contains { $0 * scale == exact[column] } } == true)
            }
        }
    }
}
