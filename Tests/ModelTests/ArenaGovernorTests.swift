import Model
import Testing

@Suite struct ArenaGovernorTests {
    private static let start = ContinuousClock.now
    private static let slot = 10 << 20

    private func governor() -> ArenaGovernor {
        ArenaGovernor(plannedSlotCount: 160, leastSlotCount: 8, arenaByteCount: 160 * Self.slot)
    }

    /// What is seen so many seconds after the start. `left` is in slots, beyond what is kept free.
    private func seen(
        _ second: Double, isPressed: Bool = false, left: Int? = 1000, unoccupied: Int = 0
    ) -> ArenaGovernor.Observation {
        let limit = 4 << 30
        return ArenaGovernor.Observation(
            now: Self.start + .seconds(second), isPressed: isPressed,
            available: left.map {
                AvailableMemory(
                    byteCount: $0 * Self.slot + ArenaGovernor.reserve(of: limit), source: "limit", limitByteCount: limit
                )
            }, unoccupiedByteCount: unoccupied * Self.slot)
    }

    @Test func nothingHappensWhileThereIsRoom() {
        var governor = governor()
        for second in 0..<100 { #expect(governor.respond(to: seen(Double(second))) == nil) }
        #expect(governor.respond(to: seen(100, left: nil)) == nil)
    }

    @Test func aReportTakesAnEighthOnceASecondDownToTheLeast() {
        var governor = governor()
        #expect(governor.respond(to: seen(0, isPressed: true)) == .shrink(to: 140, .pressure))
        #expect(governor.respond(to: seen(0.5, isPressed: true)) == nil)
        #expect(governor.respond(to: seen(1, isPressed: true)) == .shrink(to: 120, .pressure))
        for second in 2..<20 { _ = governor.respond(to: seen(Double(second), isPressed: true)) }
        #expect(governor.slotCount == 8)
        #expect(governor.respond(to: seen(30, isPressed: true)) == nil)
    }

    @Test func aLimitTakesExactlyWhatIsMissing() {
        var governor = governor()
        guard case .shrink(to: 157, .limit(let available)) = governor.respond(to: seen(0, left: -3)) else {
            Issue.record("expected the arena to shrink by three slots, it has \(governor.slotCount)")
            return
        }
        #expect(available.source == "limit")
        // Slots that were never filled will take memory yet.
        _ = governor.respond(to: seen(2, left: 2, unoccupied: 7))
        #expect(governor.slotCount == 152)
        _ = governor.respond(to: seen(4, left: -100_000))
        #expect(governor.slotCount == 8)
        #expect(governor.respond(to: seen(6, left: -5)) == nil)
    }

    @Test func growthIsSlowBeginsAfterCalmAndEndsAtThePlan() {
        var governor = governor()
        _ = governor.respond(to: seen(0, isPressed: true))
        for second in 1..<10 { #expect(governor.respond(to: seen(Double(second))) == nil) }
        var second = 10.0
        for expected in [145, 150, 155, 160] {
            #expect(governor.respond(to: seen(second)) == .grow(to: expected))
            second += 2
        }
        #expect(governor.respond(to: seen(second)) == nil)
    }

    @Test func growthLeavesRoomSoThatItDoesntShrinkAgain() {
        var governor = governor()
        _ = governor.respond(to: seen(0, left: -40))
        #expect(governor.slotCount == 120)
        // A reserve of 256 MiB: growth keeps half of it again, 12.8 slots.
        #expect(governor.respond(to: seen(20, left: 12)) == nil)
        #expect(governor.respond(to: seen(22, left: 15)) == .grow(to: 122))
        // What was grown isn't filled yet.
        #expect(governor.respond(to: seen(24, left: 15, unoccupied: 2)) == nil)
        #expect(governor.respond(to: seen(26, left: 1000, unoccupied: 2)) == .grow(to: 127))
    }
}
