export * from "./antiphon.js";
/** Nothing to wait for in Node: the module was read when this file was imported. */
export default function init(): Promise<unknown>;
