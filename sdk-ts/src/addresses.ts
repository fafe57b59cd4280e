/** Where clients and workers find their servers. */
import { addressesOfEnvironment } from "#transport";

const DEFAULT_ADDRESS = "http://127.0.0.1:7400";

/** The base URLs of the servers.
 *  @param given one or several; a string may list several, separated by commas. Default: ABSTRACTRUNTIME_URL, else the
 *  default address
 *  @throws {TypeError} if there is no address, or an address is not an http or https URL */
export function readAddresses(given: string | readonly string[] | undefined): string[] {
  const listed = given ?? (addressesOfEnvironment() || DEFAULT_ADDRESS);
  const addresses = (typeof listed === "string" ? listed.split(",") : listed)
    .map((address) => address.trim())
    .filter((address) => address !== "");
  if (addresses.length === 0) throw new TypeError("at least one server address is needed");
  for (const address of addresses) {
    const protocol = URL.canParse(address) ? new URL(address).protocol : "";
    if (protocol !== "http:" && protocol !== "https:") {
      throw new TypeError(
        `${JSON.stringify(address)} is not an http or https URL of a server, such as ${DEFAULT_ADDRESS}`,
      );
    }
  }
  return addresses;
}
