import ExpertPaging
import Testing

@Suite struct ArenaShapeTests {
    @Test func oneSizeIsOneClassOfWholePages() {
        let shape = ArenaShape(
            blobByteCounts: Array(repeating: 5000, count: 40), expertsPerToken: 6, laneCount: 2)
        #expect(shape.classes == [.init(slotByteCount: 8192, expertCount: 40)])
        #expect(shape.leastSlotCount == 8)
        #expect(shape.byteCount(slotCount: 10) == 81_920)
        #expect(shape.byteCount(slotCount: 7) == nil)
        #expect(shape.slotCounts(total: 100) == [40])
        #expect(shape.slotCount(byteCount: 81_920 + 8191) == 10)
        #expect(shape.slotCount(byteCount: 8 * 8192 - 1) == nil)
        #expect(shape.slotCount(byteCount: .max) == 40)
    }

    @Test func noMoreThanFourClassesAndEveryBlobFits() {
        let sizes = [1, 2, 3, 5, 8, 13, 21].map { $0 * 4096 }
        let blobs = sizes.flatMap { Array(repeating: $0, count: 20) }
        let shape = ArenaShape(blobByteCounts: blobs, expertsPerToken: 4, laneCount: 2)
        #expect(shape.classes.count == 4)
        #expect(shape.expertCount == blobs.count)
        for blob in blobs {
            let sizeClass = shape.sizeClass(ofBlob: blob)
            #expect(sizeClass.map { shape.classes[$0].slotByteCount >= blob } == true)
        }
        #expect(shape.sizeClass(ofBlob: 22 * 4096) == nil)
    }

    @Test func everyClassHasItsLeastAndTheSumIsWhatWasAskedFor() {
        let blobs = Array(repeating: 4096, count: 100) + Array(repeating: 8192, count: 50) + [16_384, 16_384]
        let shape = ArenaShape(blobByteCounts: blobs, expertsPerToken: 4, laneCount: 2)
        #expect(shape.leastSlotCount == 6 + 6 + 2)
        for total in shape.leastSlotCount...152 {
            let counts = shape.slotCounts(total: total)
            #expect(counts?.reduce(0, +) == total)
            for (count, (sizeClass, least)) in zip(counts ?? [], zip(shape.classes, [6, 6, 2])) {
                #expect(count >= least && count <= sizeClass.expertCount)
            }
            let byteCount = shape.byteCount(slotCount: total) ?? 0
            #expect((shape.slotCount(byteCount: byteCount) ?? 0) >= total)
        }
    }

    @Test func whatComesFirstHasASlotForEachBeforeOthersHaveMoreThanTheirLeast() {
        let blobs = Array(repeating: 4096, count: 100) + Array(repeating: 8192, count: 20) + [16_384, 16_384]
        let shape = ArenaShape(blobByteCounts: blobs, hotByteCounts: [8000], expertsPerToken: 4, laneCount: 2)
        #expect(shape.classes.map(\.comesFirst) == [false, true, false])
        #expect(shape.leastSlotCount == 6 + 6 + 2)
        #expect(shape.slotCounts(total: 14) == [6, 6, 2])
        #expect(shape.slotCounts(total: 20) == [6, 12, 2] && !shape.holdsFirst(slotCount: 27))
        #expect(shape.slotCounts(total: 28) == [6, 20, 2] && shape.holdsFirst(slotCount: 28))
        #expect(shape.slotCounts(total: 50) == [28, 20, 2])
        #expect(shape.slotCounts(total: 200) == [100, 20, 2])
        for total in 14...122 { #expect(shape.slotCounts(total: total)?.reduce(0, +) == total) }
        #expect(shape.byteCount(slotCount: 28) == 6 * 4096 + 20 * 8192 + 2 * 16_384)
        #expect(shape.slotCount(byteCount: 6 * 4096 + 20 * 8192 + 2 * 16_384) == 28)
    }

    @Test func aDenseModelNeedsNoSlots() {
        let shape = ArenaShape(blobByteCounts: [], expertsPerToken: 0, laneCount: 2)
        #expect(shape.leastSlotCount == 0)
        #expect(shape.byteCount(slotCount: 0) == 0)
        #expect(shape.slotCount(byteCount: 0) == 0)
    }
}
