import Compute
import Container
import ContainerFixtures
import FoundationEssentials
import TestSupport
import Testing

/// Experts in two planes.
@Suite struct PlaneTests {
    let directory: TemporaryDirectory
    let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/model.moe"
    }

    /// What a code and its refinement make, from `FORMAT.md`: the whole numbers nearest to an entry of the table, divided
    /// into sixteen.
    private static func value(code: Int, refinement: Int) -> Int8 {
        let table = CodeTable.nonLinear.values.map(Int.init)
        let own = (-127...127).filter { number in
            // Of two equally near entries the lower one.
            let distances = table.map { abs($0 - number) }
            return distances.firstIndex(of: distances.min() ?? 0) == code
        }
        let first = own.first ?? 0
        let extra = own.count > 16 ? (refinement * (own.count - 15)) >> 4 : 0
        return Int8(first + refinement + extra)
    }

    /// Random scales needn't be finite.
    private func damage(_ reader: ContainerReader) -> [ContainerProblem] {
        reader.problems(on: ThreadPool(threadCount: 1)).filter { !$0.reason.contains("finite") }
    }

    /// A matrix of the refined blob by the layouts alone.
    private func expected(
        _ shape: MatrixShape, coarse: ArraySlice<UInt8>, coarseStride: Int, plane: ArraySlice<UInt8>, planeStride: Int
    ) -> [[UInt8]] {
        let values = (0..<16).map { code in (0..<16).map { Self.value(code: code, refinement: $0) } }
        return (0..<shape.panelCount).map { panel in
            let from = Array(coarse.dropFirst(panel * coarseStride))
            let refinements = Array(plane.dropFirst(panel * planeStride))
            var result = Array(from[..<shape.scaleByteCount])
            for group in 0..<shape.groupsPerRow {
                for half in 0..<2 {
                    for place in group * 128..<group * 128 + 128 {
                        let code = Int(from[shape.scaleByteCount + place] >> (4 * UInt8(half)) & 15)
                        let refinement = Int(refinements[place] >> (4 * UInt8(half)) & 15)
                        result.append(UInt8(bitPattern: values[code][refinement]))
                    }
                }
            }
            return result
        }
    }

    @Test(arguments: Packing.allCases) func bothPlanesReadBackAndMakeQ8(packing: Packing) throws {
        var model = SmallModel.nested
        model.packing = packing
        model.isRefined = { $0.expert != 2 }
        try model.write(to: path)
        let reader = try ContainerReader(path: path)
        #expect(reader.refinements.count == model.experts.count { $0.expert != 2 })
        for expert in model.experts {
            let coarse = try #require(reader.source(of: expert, planes: .coarse))
            #expect(try reader.bytes(coarse) == model.bytes(expert))
            #expect(coarse.layout == model.layout && coarse.refinement == nil)
            let both = try #require(reader.source(of: expert, planes: .both))
            guard model.isRefined(expert) else {
                #expect(both == coarse)
                continue
            }
            let record = try #require(both.refinement)
            #expect(record.layout == model.refinement && record.offset % 16384 == 0)
            #expect(both.storedByteCount == Int(record.offset) + record.storedByteCount - Int(both.offset))
            let layout = both.layout
            #expect(layout.gateUpFormat == .q8 && layout.downFormat == .q8 && layout.gateUpTable == .linear)
            for verify in [true, false] {
                let bytes = try reader.bytes(both, verify: verify)
                let (blob, plane) = (model.bytes(expert)[...], model.refinement(expert)[...])
                for (coarseOffset, planeOffset, offset) in [
                    (0, 0, 0), (model.layout.upOffset, model.refinement.upOffset, layout.upOffset),
                ] {
                    let panels = expected(
                        model.layout.gateShape, coarse: blob.dropFirst(coarseOffset),
                        coarseStride: model.layout.gateUpStride, plane: plane.dropFirst(planeOffset),
                        planeStride: model.refinement.gateUpStride)
                    for (panel, expected) in panels.enumerated() {
                        let place = offset + panel * layout.gateUpStride
                        #expect(Array(bytes[place..<place + expected.count]) == expected)
                    }
                }
                let panels = expected(
                    model.layout.downShape, coarse: blob.dropFirst(model.layout.downOffset),
                    coarseStride: model.layout.downShape.strideByteCount,
                    plane: plane.dropFirst(model.refinement.downOffset), planeStride: model.refinement.downStride)
                #expect(Array(bytes[layout.downOffset...]) == panels.flatMap(\.self))
            }
        }
        #expect(damage(reader).isEmpty)
    }

    /// A matrix that isn't refined stays what it was.
    @Test(arguments: [(true, false), (false, true)]) func oneHalfCanBeRefinedAlone(gateUp: Bool, down: Bool) throws {
        let model = SmallModel.nested
        let layout = RefinementLayout(
            hiddenSize: 32, intermediateSize: 32, refinesGateUp: gateUp, refinesDown: down)
        var random = SplitMix(seed: 3)
        let plane = random.bytes(layout.byteCount)
        let writer = try ContainerWriter(path: path, replacing: false)
        for tensor in model.tensors {
            try model.bytes(tensor).withUnsafeBytes {
                try writer.append(tensor: tensor.key, shape: model.shape(tensor), bytes: $0)
            }
        }
        for expert in model.experts {
            try model.bytes(expert).withUnsafeBytes {
                try writer.append(expert: expert, layout: model.layout, bytes: $0, packing: .never)
            }
            _ = try plane.withUnsafeBytes {
                try writer.append(
                    refinementOf: expert, layout: layout, bytes: $0, packed: PackedBlob(packing: $0, .never))
            }
        }
        try writer.finish(metadata: model.metadata, text: model.text)
        let reader = try ContainerReader(path: path)
        for expert in model.experts {
            let source = try #require(reader.source(of: expert, planes: .both))
            let (bytes, blob) = (try reader.bytes(source), model.bytes(expert))
            #expect(source.layout.gateUpFormat == (gateUp ? .q8 : .q4))
            #expect(source.layout.downFormat == (down ? .q8 : .q4))
            if !gateUp { #expect(bytes[..<source.layout.downOffset] == blob[..<model.layout.downOffset]) }
            if !down { #expect(bytes[source.layout.downOffset...] == blob[model.layout.downOffset...]) }
        }
    }

    @Test func damageIsFoundInTheRightPlane() throws {
        let image = try ContainerImage(SmallModel.nested)
        let file = try ScratchFile()
        try file.replace(with: image.bytes)
        let reader = try ContainerReader(path: file.path)
        for key in SmallModel.nested.experts {
            let (blob, refinement) = (try #require(reader.experts[key]), try #require(reader.refinements[key]))
            let both = try #require(reader.source(of: key, planes: .both))
            for (offset, field) in [(blob.offset, "\(key)"), (refinement.offset, "\(key).refinement")] {
                let place = Int(offset) + 5
                try file.write([image.bytes[place] ^ 0x20], at: place)
                let error = try #require(throws: ContainerError.self) { try reader.bytes(both) }
                #expect(error.code == .damaged && error.offset == offset && error.field == "\(field).checksum")
                if offset == refinement.offset { _ = try reader.bytes(blob) }
                let problems = damage(reader)
                #expect(problems.map(\.name) == [field] && problems.map(\.offset) == [offset])
                try file.write([image.bytes[place]], at: place)
            }
        }
        #expect(Set(reader.refinements.values.map(\.codec)) == [.stored, .lz4])
        #expect(damage(reader).isEmpty)
    }

    /// Whatever a packed plane unpacks to, it doesn't leave its place.
    @Test func aRefinementThatIsNoLZ4BlockIsRefused() throws {
        var image = try ContainerImage(SmallModel.nested)
        let record = image.firstRefinement + 2 * ContainerImage.recordByteCount
        try #require(image.bytes[record] == 3 && image.bytes[record + 1] == 1)
        let offset = Int(image[record + ContainerImage.Field.offset])
        let count = Int(image[record + ContainerImage.Field.storedByteCount])
        for place in offset..<offset + count { image.bytes[place] = 0xF0 }
        image[record + ContainerImage.Field.checksum] = XXH3.hash(Array(image.bytes[offset..<offset + count]))
        image.seal()
        let file = try ScratchFile()
        try file.replace(with: image.bytes)
        let reader = try ContainerReader(path: file.path)
        let source = try #require(reader.source(of: ExpertKey(layer: 1, expert: 1), planes: .both))
        let error = #expect(throws: ContainerError.self) { try reader.bytes(source) }
        #expect(error?.code == .damaged && error?.field == "layers.1.experts.1.refinement")
    }

    static let changes: [ContainerHostileTests.Change] = [
        .init("both matrices unrefined", .malformed, "experts.0.refinement.refinedFormat") {
            $0.bytes[$0.firstRefinement + 12] = 0
            $0.bytes[$0.firstRefinement + 14] = 0
        },
        .init("another refined format", .unsupported, "record.refinedFormat") {
            $0.bytes[$0.firstRefinement + 12] = 5
        },
        .init("reserved bytes", .malformed, "record.reserved") { $0.bytes[$0.firstRefinement + 2] = 1 },
        .init("a reserved byte", .malformed, "record.reserved") { $0.bytes[$0.firstRefinement + 15] = 1 },
        .init("less than its length", .wrongShape, "experts.0.refinement.byteCount") {
            $0.bytes[$0.firstRefinement + 14] = 0
        },
        .init("the linear table", .malformed, "experts.0.refinement.refinedFormat") {
            $0.bytes[$0.firstExpert + ContainerImage.Field.table] = 0
        },
        .init("rows", .wrongShape, "experts.0.refinement.shape") {
            $0[$0.firstRefinement + ContainerImage.Field.rows] = 64
        },
        .init("length", .wrongShape, "experts.0.refinement.byteCount") {
            $0[$0.firstRefinement + ContainerImage.Field.byteCount] += 128
        },
        .init("stored length", .wrongShape, "experts.0.refinement.storedByteCount") {
            $0[$0.firstRefinement + ContainerImage.Field.storedByteCount] -= 1
        },
        .init("not behind its expert", .badRange, "experts.0.refinement.offset") {
            $0[$0.firstRefinement + ContainerImage.Field.offset] += 16384
        },
        .init("codec", .unsupported, "record.codec") {
            $0.bytes[$0.firstRefinement + ContainerImage.Field.codec] = 2
        },
        .init("of the expert before", .duplicate, "experts.0.refinement") {
            $0.bytes[$0.firstRefinement + 128 + ContainerImage.Field.expert] = 0
        },
        .init("of an expert to come", .missing, "experts.1") {
            $0.bytes[$0.firstRefinement + ContainerImage.Field.expert] = 2
        },
    ]

    @Test(arguments: changes) func aSealedButWrongPlaneIsRefusedByName(change: ContainerHostileTests.Change) throws {
        var image = try ContainerImage(SmallModel.nested)
        change.apply(&image)
        image.seal()
        let file = try ScratchFile()
        try file.replace(with: image.bytes)
        let error = try #require(throws: ContainerError.self) { try ContainerReader(path: file.path) }
        #expect(error.code == change.code, "\(error)")
        #expect(error.field.hasSuffix(change.field), "\(error)")
    }

    @Test func aRefinementNeedsItsExpertJustBefore() throws {
        let model = SmallModel.nested
        let writer = try ContainerWriter(path: path, replacing: false)
        let error = model.refinement(model.experts[0]).withUnsafeBytes { bytes in
            #expect(throws: ContainerError.self) {
                try writer.append(
                    refinementOf: model.experts[0], layout: model.refinement, bytes: bytes,
                    packed: PackedBlob(packing: bytes, .never))
            }
        }
        #expect(error?.code == .missing)
    }
}
