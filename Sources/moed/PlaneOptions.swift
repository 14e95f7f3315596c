import ArgumentParser
import Container
import ExpertPaging
import Model

/// Which planes of the experts are used, and where it is recorded which experts are.
struct PlaneOptions: ParsableArguments {
    @Option(
        help: """
            Which planes of experts that have two: coarse, both, or heat, both of those that --state says are used most \
            (default: both if every expert has room, else coarse).
            """)
    var planes: PlaneChoice?

    @Option(
        help: """
            Where the daemon keeps which experts are used most (the daemon's default: systemd's state directory, or \
            nowhere).
            """)
    var state: String?

    /// What the daemon recorded of this model's experts, where that decides; nil where it recorded nothing yet.
    func popularity(of container: ContainerReader) throws -> PopularityFile? {
        guard planes == .heat else { return nil }
        guard let state else { throw SettingError.heatWithoutState }
        return try PopularityFile.read(of: container, in: state)
    }
}

extension SettingError {
    static let heatWithoutState = SettingError(
        description:
            "--planes heat goes by which experts the daemon found to be used most, and it isn't said where it keeps "
            + "that; give --state DIRECTORY")
}

extension PlaneChoice: ExpressibleByArgument {}
