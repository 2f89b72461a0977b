export * from "./antiphon.js";
/** Resolves at once in Node: the module was loaded when this file was imported. */
export default function init(): Promise<unknown>;
